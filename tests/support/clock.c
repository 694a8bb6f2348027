/* A clock of one instance: everybody else's and CLOCK_AHEAD seconds. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long failed = syscall(SYS_clock_gettime, clock, now);
    const char *ahead = getenv("CLOCK_AHEAD");

    if (!failed && clock == CLOCK_REALTIME && ahead)
        now->tv_sec += atol(ahead);
    return (int)failed;
}
