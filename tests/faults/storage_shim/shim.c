/* A slow disk, for tests: counts and delays file operations of a process below one directory, and can hang its reads.
 *
 *     LD_PRELOAD=shim.so  LD_SHIM_PREFIX=/catalogs  LD_SHIM_COUNTERS=/tmp/counters  LD_SHIM_OPEN_US=2000  LD_SHIM_READ_US=5000
 *
 * The counters file is shared memory of the layout `struct shared`, made by the test. Each process takes the first free
 * slot. Paths are compared as given, so the directory must be named absolutely, as the service does.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum counter { OPENS, READS, BYTES, STATS, FSTATS, OPENDIRS, READDIRS, MMAPS, COUNTERS };

struct slot {
    _Atomic uint64_t pid;
    _Atomic uint64_t counts[COUNTERS];
};

#define SLOTS 256
struct shared {
    _Atomic uint64_t hang; /* while not 0, reads do not return */
    _Atomic uint64_t used;
    struct slot slots[SLOTS];
};

#define FILES 65536
static atomic_bool ours[FILES]; /* descriptors of files below the prefix */
static struct shared *shared;
static struct slot *slot;
static const char *prefix;
static size_t prefix_length;
static long open_us, read_us;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    /* symbols that new C libraries keep for old programs only */
    if (!found) found = dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");
    if (!found) found = dlvsym(RTLD_NEXT, name, "GLIBC_2.17");
    return found;
}

#define REAL(result, name, ...)                                  \
    static result (*next)(__VA_ARGS__);                          \
    if (!next) next = (result (*)(__VA_ARGS__))real(#name);

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("LD_SHIM_COUNTERS");
    const char *below = getenv("LD_SHIM_PREFIX");
    if (!path || !below) return;
    REAL(int, open, const char *, int, ...)
    int fd = next(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return;
    open_us = number("LD_SHIM_OPEN_US");
    read_us = number("LD_SHIM_READ_US");
    prefix = strdup(below);
    prefix_length = strlen(prefix);
    struct shared *region = mapped;
    slot = &region->slots[atomic_fetch_add(&region->used, 1) % SLOTS];
    atomic_store(&slot->pid, (uint64_t)getpid());
    shared = region;
}

static int below(const char *path) {
    return shared && path && strncmp(path, prefix, prefix_length) == 0 &&
           (path[prefix_length] == '/' || path[prefix_length] == '\0');
}

static int is_ours(int fd) { return shared && fd >= 0 && fd < FILES && atomic_load(&ours[fd]); }

static int below_at(int directory, const char *path) {
    return path && (path[0] == '/' ? below(path) : directory != AT_FDCWD && is_ours(directory));
}

static void count(enum counter which, uint64_t amount) { atomic_fetch_add(&slot->counts[which], amount); }

static void delay(long us) {
    struct timespec left = {us / 1000000, (us % 1000000) * 1000};
    while (us > 0 && nanosleep(&left, &left) != 0) {}
}

static void opening(enum counter which) {
    count(which, 1);
    delay(open_us);
}

static void reading(void) {
    count(READS, 1);
    delay(read_us);
    while (atomic_load(&shared->hang)) delay(1000);
}

static int mark(int fd) {
    if (fd >= 0 && fd < FILES) atomic_store(&ours[fd], 1);
    return fd;
}

static void unmark(int fd) {
    if (fd >= 0 && fd < FILES) atomic_store(&ours[fd], 0);
}

/* --- opening and closing -------------------------------------------------------------------------- */

#define OPEN(name)                                               \
    int name(const char *path, int flags, ...) {                 \
        REAL(int, name, const char *, int, ...)                  \
        va_list rest;                                            \
        va_start(rest, flags);                                   \
        mode_t mode = va_arg(rest, mode_t);                      \
        va_end(rest);                                            \
        if (!below(path)) return next(path, flags, mode);        \
        opening(OPENS);                                          \
        return mark(next(path, flags, mode));                    \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                          \
    int name(int directory, const char *path, int flags, ...) {               \
        REAL(int, name, int, const char *, int, ...)                          \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = va_arg(rest, mode_t);                                   \
        va_end(rest);                                                         \
        if (!below_at(directory, path)) return next(directory, path, flags, mode); \
        opening(OPENS);                                                       \
        return mark(next(directory, path, flags, mode));                      \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                              \
    FILE *name(const char *path, const char *mode) {             \
        REAL(FILE *, name, const char *, const char *)           \
        if (!below(path)) return next(path, mode);               \
        opening(OPENS);                                          \
        FILE *file = next(path, mode);                           \
        if (file) mark(fileno(file));                            \
        return file;                                             \
    }
FOPEN(fopen)
FOPEN(fopen64)

int close(int fd) {
    REAL(int, close, int)
    unmark(fd);
    return next(fd);
}

int fclose(FILE *file) {
    REAL(int, fclose, FILE *)
    unmark(fileno(file));
    return next(file);
}

/* --- reading -------------------------------------------------------------------------------------- */

static ssize_t taken(ssize_t got) {
    if (got > 0) count(BYTES, (uint64_t)got);
    return got;
}

#define READ(name, parameters, arguments, ...)                   \
    ssize_t name parameters {                                    \
        REAL(ssize_t, name, __VA_ARGS__)                         \
        if (!is_ours(fd)) return next arguments;                 \
        reading();                                               \
        return taken(next arguments);                            \
    }
READ(read, (int fd, void *to, size_t size), (fd, to, size), int, void *, size_t)
READ(pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), int, void *, size_t, off_t)
READ(pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at), int, void *, size_t, off64_t)
READ(readv, (int fd, const struct iovec *to, int n), (fd, to, n), int, const struct iovec *, int)
READ(preadv, (int fd, const struct iovec *to, int n, off_t at), (fd, to, n, at), int, const struct iovec *, int, off_t)
READ(preadv64, (int fd, const struct iovec *to, int n, off64_t at), (fd, to, n, at), int, const struct iovec *, int, off64_t)
READ(preadv2, (int fd, const struct iovec *to, int n, off_t at, int f), (fd, to, n, at, f), int, const struct iovec *, int, off_t, int)
READ(preadv64v2, (int fd, const struct iovec *to, int n, off64_t at, int f), (fd, to, n, at, f), int, const struct iovec *, int, off64_t, int)

size_t fread(void *to, size_t size, size_t n, FILE *file) {
    REAL(size_t, fread, void *, size_t, size_t, FILE *)
    if (!is_ours(fileno(file))) return next(to, size, n, file);
    reading();
    size_t got = next(to, size, n, file);
    count(BYTES, got * size);
    return got;
}

#define MMAP(name, offset)                                                            \
    void *name(void *at, size_t size, int protection, int flags, int fd, offset from) { \
        REAL(void *, name, void *, size_t, int, int, int, offset)                     \
        if (!(flags & MAP_ANONYMOUS) && is_ours(fd)) count(MMAPS, 1);                 \
        return next(at, size, protection, flags, fd, from);                           \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

/* --- metadata ------------------------------------------------------------------------------------- */

#define STAT(name, parameters, arguments, ...)                   \
    int name parameters {                                        \
        REAL(int, name, __VA_ARGS__)                             \
        if (below(path)) opening(STATS);                         \
        return next arguments;                                   \
    }
STAT(stat, (const char *path, struct stat *to), (path, to), const char *, struct stat *)
STAT(stat64, (const char *path, struct stat64 *to), (path, to), const char *, struct stat64 *)
STAT(lstat, (const char *path, struct stat *to), (path, to), const char *, struct stat *)
STAT(lstat64, (const char *path, struct stat64 *to), (path, to), const char *, struct stat64 *)
STAT(__xstat, (int v, const char *path, struct stat *to), (v, path, to), int, const char *, struct stat *)
STAT(__xstat64, (int v, const char *path, struct stat64 *to), (v, path, to), int, const char *, struct stat64 *)
STAT(__lxstat, (int v, const char *path, struct stat *to), (v, path, to), int, const char *, struct stat *)
STAT(__lxstat64, (int v, const char *path, struct stat64 *to), (v, path, to), int, const char *, struct stat64 *)
STAT(access, (const char *path, int mode), (path, mode), const char *, int)

ssize_t readlink(const char *path, char *to, size_t size) {
    REAL(ssize_t, readlink, const char *, char *, size_t)
    if (below(path)) opening(STATS);
    return next(path, to, size);
}

char *realpath(const char *path, char *to) {
    REAL(char *, realpath, const char *, char *)
    if (below(path)) opening(STATS);
    return next(path, to);
}

#define STATAT(name, parameters, arguments, ...)                 \
    int name parameters {                                        \
        REAL(int, name, __VA_ARGS__)                             \
        if (below_at(directory, path)) opening(STATS);           \
        return next arguments;                                   \
    }
STATAT(fstatat, (int directory, const char *path, struct stat *to, int f), (directory, path, to, f), int, const char *, struct stat *, int)
STATAT(fstatat64, (int directory, const char *path, struct stat64 *to, int f), (directory, path, to, f), int, const char *, struct stat64 *, int)
STATAT(faccessat, (int directory, const char *path, int mode, int f), (directory, path, mode, f), int, const char *, int, int)
STATAT(statx, (int directory, const char *path, int f, unsigned mask, struct statx *to), (directory, path, f, mask, to), int, const char *, int, unsigned, struct statx *)

/* an open file's metadata is at hand on network file systems: counted, not delayed */
#define FSTAT(name, parameters, arguments, ...)                  \
    int name parameters {                                        \
        REAL(int, name, __VA_ARGS__)                             \
        if (is_ours(fd)) count(FSTATS, 1);                       \
        return next arguments;                                   \
    }
FSTAT(fstat, (int fd, struct stat *to), (fd, to), int, struct stat *)
FSTAT(fstat64, (int fd, struct stat64 *to), (fd, to), int, struct stat64 *)
FSTAT(__fxstat, (int v, int fd, struct stat *to), (v, fd, to), int, int, struct stat *)
FSTAT(__fxstat64, (int v, int fd, struct stat64 *to), (v, fd, to), int, int, struct stat64 *)

/* --- directories ---------------------------------------------------------------------------------- */

DIR *opendir(const char *path) {
    REAL(DIR *, opendir, const char *)
    if (!below(path)) return next(path);
    opening(OPENDIRS);
    DIR *directory = next(path);
    if (directory) mark(dirfd(directory));
    return directory;
}

int closedir(DIR *directory) {
    REAL(int, closedir, DIR *)
    unmark(dirfd(directory));
    return next(directory);
}

#define READDIR(name, entry)                                     \
    entry *name(DIR *directory) {                                \
        REAL(entry *, name, DIR *)                               \
        if (is_ours(dirfd(directory))) count(READDIRS, 1);       \
        return next(directory);                                  \
    }
READDIR(readdir, struct dirent)
READDIR(readdir64, struct dirent64)

ssize_t getdents64(int fd, void *to, size_t size) {
    REAL(ssize_t, getdents64, int, void *, size_t)
    if (is_ours(fd)) count(READDIRS, 1);
    return next(fd, to, size);
}
