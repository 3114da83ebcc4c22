/* SPDX-License-Identifier: MIT */
/* Random numbers and words; see random.h. */
#include "daemon/random.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

const char token_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

uint32_t random_number(void)
{
        uint32_t number = 0;

        (void)!getrandom(&number, sizeof number, 0);
        return number;
}

enum { TOKEN_MAX = 64, DRAWN_AT_ONCE = 256 }; /* so many bytes the kernel gives whole, signal or not */

void random_token(char *out, size_t count)
{
        /* Drawn ahead: each message has a token, and a call of the kernel for each of them would cost more.
         */
        static _Thread_local uint8_t drawn[DRAWN_AT_ONCE];
        static _Thread_local size_t left;

        if (count > TOKEN_MAX)
                abort();
        if (left < count) {
                if (getrandom(drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
                        abort(); /* never for so few bytes once the system has booted */
                left = sizeof drawn;
        }
        uint8_t *random = drawn + left - count;
        for (size_t i = 0; i < count; i++)
                out[i] = token_digits[random[i] % 32];
        out[count] = '\0';
        explicit_bzero(random, count); /* nobody can tell afterwards which it was */
        left -= count;
}
