/* SPDX-License-Identifier: MIT */
/* Random numbers and words; see random.h. */
#include "daemon/random.h"

#include <stdlib.h>
#include <sys/random.h>

const char token_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

uint32_t random_number(void)
{
        uint32_t number = 0;

        (void)!getrandom(&number, sizeof number, 0);
        return number;
}

void random_token(char *out, size_t count)
{
        uint8_t random[64];

        if (count > sizeof random || getrandom(random, count, 0) != (ssize_t)count)
                abort(); /* never for so few bytes once the system has booted */
        for (size_t i = 0; i < count; i++)
                out[i] = token_digits[random[i] % 32];
        out[count] = '\0';
}
