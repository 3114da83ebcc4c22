/* SPDX-License-Identifier: MIT */
/* An IMAP session with a hostile server. The tags are not random here: aaaaa1, aaaaa2, ... */
#include <sys/random.h>
#define getrandom(bytes, len, flags) ((ssize_t)(memset((bytes), 0, (len)), (len)))
#include "daemon/imap/command.c"

#include "fuzz_mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!size)
                return 0;
        struct visit visit = { .operations = &imap_mailbox };
        struct imap_config config = { .signin = visit_signin(data[0]),
                                      .starttls = visit_starttls(data[0]),
                                      .user = &visit_user,
                                      .ctx = &visit };

        visit.engine = imap_session_new(&config);
        visit_play(&visit, visit_tls(data[0]), data[0], data + 1, size - 1);
        return 0;
}
