/* SPDX-License-Identifier: MIT */
/* A POP3 session with a hostile server. */
#include "daemon/pop3/session.h"
#include "fuzz_mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!size)
                return 0;
        struct visit visit = { .operations = &pop3_mailbox };
        struct pop3_config config = { .signin = visit_signin(data[0]),
                                      .starttls = visit_starttls(data[0]),
                                      .user = &visit_user,
                                      .ctx = &visit };

        visit.engine = pop3_session_new(&config);
        visit_play(&visit, visit_tls(data[0]), data[0], data + 1, size - 1);
        return 0;
}
