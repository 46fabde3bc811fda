/* The limits of the machine: receivers that parse nothing. A process for each association.

       limits null LENGTH PORT                  read and answer
       limits copy LENGTH PORT DIRECTORY        read, write to a file, answer
       limits durable LENGTH PORT DIRECTORY     the same, and flush file and directory before the answer

   LENGTH is that of a request in bytes. ACCEPT, RESPONSE and RELEASED, the answers, are given to the compiler. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, ASSOCIATE_RQ = 1, RELEASE_RQ = 5, HEADER = 6 };
enum kind { NOTHING, COPY, DURABLE };

static const char accepted[] = ACCEPT, response[] = RESPONSE, released[] = RELEASED;
static unsigned char buffer[BUFFER];
static int directory = -1;

static void check(long result)
{
    if (result < 0) {
        perror("limits");
        _exit(1);
    }
}

static size_t read_some(int connection, size_t most)
{
    ssize_t count = recv(connection, buffer, most < BUFFER ? most : BUFFER, 0);
    if (count <= 0)
        _exit(count < 0);
    return (size_t)count;
}

static void write_all(int file, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = write(file, buffer + done, size - done);
        check(count);
        done += (size_t)count;
    }
}

static int open_file(enum kind kind, const char *name)
{
    if (kind == DURABLE)
        return openat(directory, ".", O_WRONLY | O_TMPFILE, 0666);
    return openat(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
}

static void make_durable(int file, const char *name)
{
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", file);
    check(fsync(file));
    check(linkat(AT_FDCWD, self, directory, name, AT_SYMLINK_FOLLOW));
    check(fsync(directory));
}

static void take_request(int connection, enum kind kind, size_t filled, size_t length, unsigned serial)
{
    char name[32];
    int file = -1;
    if (kind != NOTHING) {
        snprintf(name, sizeof name, "%d.%u", getpid(), serial);
        check(file = open_file(kind, name));
        write_all(file, filled);
    }
    while (filled < length) {
        size_t count = read_some(connection, length - filled);
        if (kind != NOTHING)
            write_all(file, count);
        filled += count;
    }
    if (kind == DURABLE)
        make_durable(file, name);
    if (kind != NOTHING)
        close(file);
}

static void serve(int connection, enum kind kind, size_t length)
{
    int yes = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    size_t filled = 0, wanted = HEADER;
    while (filled < wanted) {
        ssize_t count = recv(connection, buffer + filled, wanted - filled, 0);
        if (count <= 0)
            _exit(0); /* it only tested whether the port is open */
        filled += (size_t)count;
        if (filled == HEADER)
            wanted += (size_t)buffer[2] << 24 | buffer[3] << 16 | buffer[4] << 8 | buffer[5];
        if (buffer[0] != ASSOCIATE_RQ || wanted > BUFFER)
            _exit(1);
    }
    check(send(connection, accepted, sizeof accepted - 1, 0));
    for (unsigned serial = 0;; serial++) {
        size_t count = read_some(connection, length);
        if (buffer[0] == RELEASE_RQ)
            break;
        take_request(connection, kind, count, length, serial);
        check(send(connection, response, sizeof response - 1, 0));
    }
    check(send(connection, released, sizeof released - 1, 0));
    _exit(0);
}

int main(int count, char **words)
{
    if (count < 4)
        return 2;
    enum kind kind = !strcmp(words[1], "null") ? NOTHING : !strcmp(words[1], "copy") ? COPY : DURABLE;
    size_t length = strtoull(words[2], NULL, 10);
    if (kind != NOTHING)
        check(directory = open(words[4], O_RDONLY | O_DIRECTORY));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[3]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    check(bind(listener, (struct sockaddr *)&address, sizeof address));
    check(listen(listener, 512));
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        check(connection);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ; /* waited for, not ignored: only then their processor time counts */
        if (fork() == 0)
            serve(connection, kind, length);
        close(connection);
    }
}
