"""The options of DCMTK storescp that this program does not have; docs/migrating.md says what takes their place."""

from __future__ import annotations

_NAMES = """
--single-process --fork
+x= --prefer-uncompr +xe --prefer-little +xb --prefer-big +xs --prefer-lossless +xy --prefer-jpeg8
+xx --prefer-jpeg12 +xv --prefer-j2k-lossless +xw --prefer-j2k-lossy +xt --prefer-jls-lossless
+xu --prefer-jls-lossy +xm --prefer-mpeg2 +xh --prefer-mpeg2-high +xn --prefer-mpeg4 +xl --prefer-mpeg4-bd
+x2 --prefer-mpeg4-2-2d +x3 --prefer-mpeg4-2-3d +xo --prefer-mpeg4-2-st +x4 --prefer-hevc +x5 --prefer-hevc10
+xr --prefer-rle +xd --prefer-deflated +xi --implicit +xa --accept-all
-ac --access-full +ac --access-control -id --inetd -ts --socket-timeout
--refuse --reject --sleep-after --sleep-during --abort-after --abort-during
-up --uid-padding +F --write-file -F --write-dataset
+t= --write-xfer-same +te --write-xfer-little +tb --write-xfer-big +ti --write-xfer-implicit
+td --write-xfer-deflated +u --enable-new-vr -u --disable-new-vr
+g= --group-length-recalc +g --group-length-create -g --group-length-remove
+e --length-explicit -e --length-undefined -p --padding-off +p --padding-create
-uc --retain-un +uc --convert-un +cl --compression-level
-ss --sort-conc-studies -su --sort-on-study-uid -sp --sort-on-patientname
-uf +uf -tn --timenames -xcr --exec-on-reception -xcs --exec-on-eostudy
-rns --rename-on-eostudy -tos --eostudy-timeout -xs --exec-sync
"""

NAMES = frozenset(_NAMES.split())
