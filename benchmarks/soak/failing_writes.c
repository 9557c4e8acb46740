/* Makes calls that write below a folder fail: a full disk, a quota, a disk that turned read-only, a
   permission that is gone, one bad moment. For Linux with glibc:

       cc -shared -fPIC -O1 -o failing_writes.so failing_writes.c -ldl
       LD_PRELOAD=./failing_writes.so FAULT_FOLDER=/absolute/out ... dseg extract ...

   FAULT_FOLDER   calls on what lies in it count; without it, nothing fails
   FAULT_AFTER    so many calls succeed first
   FAULT_TIMES    so many fail then, negative: all that follow
   FAULT_ERRNO    with this error; 0: none fails, but from then on the clock is a day behind
   FAULT_COUNTER  a file of eight bytes, in which all processes count the calls

   What is denied (EACCES, EPERM, EROFS) is to open, make, rename and remove; files that are open
   already can still be written, as on a real system. Reads never fail. Not seen: C's own streams
   (fopen), memory maps, input and output by io_uring. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *folder;
static int64_t *counter, after, times;
static int error_number;
static unsigned char of_folder[DESCRIPTORS];

/* A forked process learns its variables late, so they are read until they are there. */
static int ready(void)
{
    if (folder)
        return 1;
    const char *name = getenv("FAULT_COUNTER"), *below = getenv("FAULT_FOLDER");
    if (!name || !below)
        return 0;
    int file = REAL(open)(name, O_RDWR);
    if (file < 0)
        return 0;
    counter = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    REAL(close)(file);
    after = atoll(getenv("FAULT_AFTER"));
    times = atoll(getenv("FAULT_TIMES"));
    error_number = atoi(getenv("FAULT_ERRNO"));
    folder = strdup(below);
    return 1;
}

static int denied(void)
{
    return error_number == EACCES || error_number == EPERM || error_number == EROFS;
}

/* Count a call; whether it fails, with errno set. */
static int fails(void)
{
    int64_t number = __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
    if (!error_number || number < after || (times >= 0 && number >= after + times))
        return 0;
    errno = error_number;
    return 1;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = REAL(clock_gettime)(clock, now);
    int behind = clock == CLOCK_REALTIME && ready() && !error_number && times && *counter > after;
    if (!failed && behind)
        now->tv_sec -= 86400;
    return failed;
}

static int below(int at, const char *path)
{
    char whole[2 * PATH_MAX + 2];
    if (!path || !ready())
        return 0;
    if (path[0] != '/') {
        char link[64], base[PATH_MAX];
        if (at == AT_FDCWD)
            strcpy(link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t size = readlink(link, base, sizeof base - 1);
        if (size < 0)
            return 0;
        base[size] = 0;
        snprintf(whole, sizeof whole, "%s/%s", base, path);
        path = whole;
    }
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == 0);
}

static int path_fails(int at, const char *path) { return below(at, path) && fails(); }

/* What is removed takes no room: it fails only where it is denied. */
static int removing_fails(int at, const char *path)
{
    return below(at, path) && denied() && fails();
}

static int data_fail(int file)
{
    return file >= 0 && file < DESCRIPTORS && of_folder[file] && ready() && !denied() && fails();
}

static int opened(int at, const char *path, int flags, int mode, int wide)
{
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    int counts = writes && below(at, path);
    if (counts && fails())
        return -1;
    int file = wide ? REAL(openat64)(at, path, flags, mode) : REAL(openat)(at, path, flags, mode);
    if (file >= 0 && file < DESCRIPTORS)
        of_folder[file] = counts;
    return file;
}

#define MODE(flags)                                       \
    int mode = 0;                                         \
    if (flags & (O_CREAT | O_TMPFILE)) {                  \
        va_list more;                                     \
        va_start(more, flags);                            \
        mode = va_arg(more, int);                         \
        va_end(more);                                     \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode, 0);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode, 1);
}

int openat(int at, const char *path, int flags, ...)
{
    MODE(flags)
    return opened(at, path, flags, mode, 0);
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE(flags)
    return opened(at, path, flags, mode, 1);
}

int close(int file)
{
    if (file >= 0 && file < DESCRIPTORS)
        of_folder[file] = 0;
    return REAL(close)(file);
}

#define DATA(type, name, fail, parameters, ...)           \
    type name parameters                                  \
    {                                                     \
        return data_fail(file) ? fail : REAL(name)(__VA_ARGS__); \
    }

ssize_t write(int file, const void *data, size_t size)
{
    if (!data_fail(file))
        return REAL(write)(file, data, size);
    /* A disk that fills takes what still fits. */
    return errno == ENOSPC && size > 1 ? REAL(write)(file, data, size / 2) : -1;
}

DATA(ssize_t, writev, -1, (int file, const struct iovec *data, int n), file, data, n)
DATA(ssize_t, pwrite, -1, (int file, const void *data, size_t size, off_t at), file, data, size, at)
DATA(ssize_t, pwrite64, -1, (int file, const void *data, size_t size, off64_t at), file, data, size, at)
DATA(ssize_t, sendfile, -1, (int file, int from, off_t *at, size_t size), file, from, at, size)
DATA(ssize_t, sendfile64, -1, (int file, int from, off64_t *at, size_t size), file, from, at, size)
DATA(int, ftruncate, -1, (int file, off_t size), file, size)
DATA(int, ftruncate64, -1, (int file, off64_t size), file, size)
DATA(int, posix_fallocate, errno, (int file, off_t at, off_t size), file, at, size)
DATA(int, posix_fallocate64, errno, (int file, off64_t at, off64_t size), file, at, size)
DATA(int, fsync, -1, (int file), file)
DATA(int, fdatasync, -1, (int file), file)

ssize_t copy_file_range(int from, off64_t *at, int file, off64_t *to, size_t size, unsigned flags)
{
    return data_fail(file) ? -1 : REAL(copy_file_range)(from, at, file, to, size, flags);
}

int mkdir(const char *path, mode_t mode)
{
    return path_fails(AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return path_fails(at, path) ? -1 : REAL(mkdirat)(at, path, mode);
}

int rename(const char *from, const char *to)
{
    return path_fails(AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}

int renameat(int at, const char *from, int to_at, const char *to)
{
    return path_fails(to_at, to) ? -1 : REAL(renameat)(at, from, to_at, to);
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags)
{
    return path_fails(to_at, to) ? -1 : REAL(renameat2)(at, from, to_at, to, flags);
}

int link(const char *from, const char *to)
{
    return path_fails(AT_FDCWD, to) ? -1 : REAL(link)(from, to);
}

int linkat(int at, const char *from, int to_at, const char *to, int flags)
{
    return path_fails(to_at, to) ? -1 : REAL(linkat)(at, from, to_at, to, flags);
}

int unlink(const char *path)
{
    return removing_fails(AT_FDCWD, path) ? -1 : REAL(unlink)(path);
}

int unlinkat(int at, const char *path, int flags)
{
    return removing_fails(at, path) ? -1 : REAL(unlinkat)(at, path, flags);
}

int rmdir(const char *path)
{
    return removing_fails(AT_FDCWD, path) ? -1 : REAL(rmdir)(path);
}
