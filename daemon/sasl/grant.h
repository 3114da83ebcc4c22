/* SPDX-License-Identifier: MIT */
/*
 * OAuth 2.0 grants without I/O: what is asked of a token endpoint, and what its answer means. Refresh tokens
 * and client credentials (RFC 6749), the device grant (RFC 8628), assertions signed with a key of ours (RFC
 * 7523).
 */
#pragma once

#include "common/cause.h"
#include "common/properties.h"
#include "daemon/sasl/http_post.h"

/* Where an account's tokens come from: its properties, else what its provider usually has. */
struct grant_source {
        char *token_url, *device_url, *scope; /* device_url "": the provider has none */
};

void grant_source_of(const struct property_values *values, struct grant_source *out);
void grant_source_done(struct grant_source *source);

/* What a form is made of; NULL and "" are left out. */
struct grant_request {
        const char *client_id, *client_secret, *scope;
        const char *refresh_token, *device_code, *assertion; /* at most one: what is exchanged */
        bool ask_device; /* for the device endpoint: begins the device grant */
};

/* The form (free with free_secret). With none of the last three: the grant is the client's own credentials.
 */
char *grant_form(const struct grant_request *request) must_use;

/* The part of a JWT that is signed: who is the client, for which user, for whom (`audience`), and how long.
 */
char *grant_assertion(const char *algorithm, const char *client_id, const char *user, const char *audience,
                      const char *scope, int64_t now) must_use;
/* Base64 in the form of RFC 4648 section 5, without padding; the caller frees. */
char *base64url_encode(const void *bytes, size_t len) must_use;

enum grant_result {
        GRANT_GIVEN,     /* access_token; or, asked of the device endpoint, device_code */
        GRANT_PENDING,   /* nobody has agreed yet: ask again after the interval */
        GRANT_SLOW_DOWN, /* the same, and 5 s more from now on */
        GRANT_REFUSED    /* the cause says why */
};

struct grant_answer { /* texts owned; NULL where nothing was said */
        char *access_token, *refresh_token;
        char *device_code, *user_code, *verification_uri, *verification_uri_complete;
        int64_t expires_in, interval; /* seconds; 0: not said */
        const char *error;            /* the word of a refusal that is known, static; else NULL */
};

enum grant_result grant_read(const struct http_answer *answer, const struct grant_request *request,
                             struct grant_answer *out, struct cause *cause) must_use;
void grant_answer_done(struct grant_answer *answer);

/* Whether all its characters may stand in an access token: printable ASCII without blanks. */
bool grant_is_token(const char *text) must_use;
