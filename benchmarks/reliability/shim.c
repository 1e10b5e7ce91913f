/* What a disk and a clock do at their worst, preloaded: FAULT is EIO, ENOSPC, EINTR or CLOCK; the first three
 * meet reads (EIO, EINTR) and writes of files below FAULT_PATH, after FAULT_AFTER of these calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int calls;

static int meets(int fd, int writes) {
    const char *fault = getenv("FAULT"), *below = getenv("FAULT_PATH"), *after = getenv("FAULT_AFTER");
    char link[64], path[4096];
    if (!fault || !below || !strcmp(fault, "CLOCK") || (!writes && !strcmp(fault, "ENOSPC"))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) || ++calls <= (after ? atoi(after) : 0)) return 0;
    if (!strcmp(fault, "EINTR")) { errno = EINTR; return calls % 2; }
    errno = !strcmp(fault, "EIO") ? EIO : ENOSPC;
    return 1;
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    int before = errno;
    if (meets(fd, 1)) return -1;
    errno = before;
    return real(fd, data, size);
}

ssize_t read(int fd, void *data, size_t size) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    int before = errno;
    if (meets(fd, 0)) return -1;
    errno = before;
    return real(fd, data, size);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int asked;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(clock, now);
    const char *fault = getenv("FAULT");
    if (clock == CLOCK_REALTIME && fault && !strcmp(fault, "CLOCK") && ++asked > 20)
        now->tv_sec -= 3600L * (1 + asked / 20);  /* and back again and again */
    return answer;
}
