/* SPDX-License-Identifier: MIT */
/*
 * One POST of a form, or one GET, over HTTP/1.1 (RFC 9112) and its answer, as an engine: for OAuth token
 * endpoints, and for files in which a domain tells its mail servers. No redirect is followed, no connection
 * kept, nothing sent but inside TLS. The engine has ENGINE_ENDED when the whole answer is there.
 */
#pragma once

#include "daemon/wire/engine.h"

/* Where it is: the parts of an https URL. */
struct http_place {
        char *host; /* normal form, for the resolver and the certificate */
        uint16_t port;
        char *authority; /* as it goes into the Host field */
        char *path;      /* with its query */
};

/* -1 with CAUSE_INVALID for what is no https URL; nothing is to be freed then. */
int http_place_of(const char *url, struct http_place *out, struct cause *cause) must_use;
void http_place_done(struct http_place *place);

/* `form` is application/x-www-form-urlencoded, NULL: nothing is posted, and it is a GET; both are copied, the
 * copy of the form is wiped. */
struct engine *http_post_new(const struct http_place *place, const char *form) must_use;

struct http_answer {
        unsigned status;
        unsigned retry_after; /* seconds; 0: not said */
        time_t date;          /* when it was made, as it says; 0: it does not */
        const uint8_t *body;  /* belongs to the engine */
        size_t len;
};

/* Of an engine that has ended in order. */
struct http_answer http_post_answer(const struct engine *engine);
