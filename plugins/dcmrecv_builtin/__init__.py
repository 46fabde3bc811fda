"""The built-in plugins: the schemes of DCMTK dcmrecv and `--layout`, each a module on the public hooks.

    negotiate         profile (-xf), contexts (`[[contexts]]` of a settings file), promiscuous (-pm)
    receive           ignore (--ignore)
    choose_subdir     no_subdir (-s), series_date (+ssd)
    choose_filename   instance_uid (+fd), unique (+fu), short_unique (+fsu), system_time (+fst)
    both of these     layout/ (--layout)
    write             file_writer

They import nothing but the public `dcmrecv_core`; a copy of any of them is a good start for a plugin of one's own.
"""
