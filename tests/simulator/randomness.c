/* SPDX-License-Identifier: MIT */
/* Random numbers from the seed: the system's calls, and OpenSSL's generator by a method of our own (its own
 * mixes in what no simulator holds, as the processor's counter). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/simulator/kernel.h"

#include <openssl/rand.h>
#include <sys/random.h>

ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
        if (!shared)
                return real(SYS_getrandom, bytes, len, (long)flags);
        chance_bytes("random", bytes, len);
        return (ssize_t)len;
}

int getentropy(void *bytes, size_t len)
{
        return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : -1;
}

/* Who takes the raw call: libgcrypt for randomness; the daemon for a process that closes a descriptor (none
 * is needed here: no file system hangs). */
long syscall(long number, ...)
{
        long arg[6];
        va_list args;

        va_start(args, number);
        for (size_t i = 0; i < lengthof(arg); i++)
                arg[i] = va_arg(args, long);
        va_end(args);
        if (number == SYS_getrandom)
                return getrandom((void *)arg[0], (size_t)arg[1], 0);
        if (number == SYS_clone && shared) {
                errno = EAGAIN;
                return -1;
        }
        return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static int give_bytes(unsigned char *bytes, int len)
{
        chance_bytes(in_daemon ? "openssl" : "openssl.world", bytes, (size_t)len);
        return 1;
}

static int ready(void)
{
        return 1;
}

void randomness_open(void)
{
        static const RAND_METHOD method = { .bytes = give_bytes, .pseudorand = give_bytes, .status = ready };

        if (RAND_set_rand_method(&method) != 1)
                abort();
}
