/* SPDX-License-Identifier: MIT */
/*
 * The SMTP client (RFC 5321, 3207, 4954): from the greeting to READY by a table of
 * steps, then any number of messages (smtp/mail). Does no I/O: see wire/engine.h.
 */
#pragma once

#include "common/limits.h"
#include "daemon/sasl/mechanism.h"
#include "daemon/smtp/capabilities.h"
#include "daemon/wire/engine.h"

/* What a server has shown that it does not bear, or that it does: kept by the owner from session to session.
 * Zeroed: nothing is known. */
struct smtp_ways {
        bool no_chunking, no_mail_parameters, no_recipient_parameters, no_pipelining;
        bool careful; /* one command at a time and one message a session: its answers did not fit otherwise */
        bool chunking_works, pipelining_works;
        unsigned name;   /* the form of our name in EHLO: see smtp_config */
        uint32_t sender; /* text_hash() of whose mail went last; 0: nobody's did. A sign, and so little will
                            do */
        char news[120];  /* what was learnt, as the end of "the server ..."; the owner tells it and empties it
                          */
};

struct smtp_config {
        struct signin signin; /* borrowed texts must outlive the session */
        bool starttls;
        const char *hello;      /* full name in EHLO, copied; NULL: this end's address is said (RFC 5321
                                   section 4.1.4) */
        const char *domain;     /* what is said where neither is taken, copied, or NULL */
        bool lmtp;              /* LHLO (RFC 2033); mail then has one recipient, so each has its one reply */
        unsigned longest_wait;  /* seconds for any reply while mail is sent; 0: as RFC 5321 section 4.5.3.2 */
        struct smtp_ways *ways; /* NULL: the session's own */
};

/* The session's engine; free through engine->class->free. */
struct engine *smtp_session_new(const struct smtp_config *config) must_use;

/* What the server said to the last EHLO; valid from ENGINE_READY. */
const struct smtp_capabilities *smtp_session_capabilities(const struct engine *engine);
/* True when the session failed only to be made anew in another way (see smtp_ways): it says nothing against
 * the server, and mail that came back undecided can go at once. */
bool smtp_session_anew(const struct engine *engine);
/* True when a message has been answered in it, whatever the answer. */
bool smtp_session_has_carried(const struct engine *engine);
