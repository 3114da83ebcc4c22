/* SPDX-License-Identifier: MIT */
/*
 * One question to an OAuth endpoint of an account, by a session as those with mail servers: same time limits,
 * same verdict on the certificate, same challenges.
 */
#pragma once

#include "common/properties.h"
#include "daemon/sasl/grant.h"

struct token_exchange;

/* `result` GRANT_REFUSED comes with a cause and, where a certificate waits for a decision, its entry's id,
 * else "". The answer's texts are the callee's to take; the exchange is over and freed after the call. */
typedef void token_exchanged(void *ctx, enum grant_result result, struct grant_answer *answer,
                             const struct cause *why, const char *challenge_id);

/* Asks `url` for what `request` says (both copied). `record`: a certificate that nobody vouches for raises a
 * challenge. Never calls back before it returns. */
struct token_exchange *token_exchange_begin(const struct property_values *values, const char *url,
                                            const struct grant_request *request, bool record,
                                            token_exchanged *done, void *ctx) must_use;
/* No call any more. NULL is fine. */
void token_exchange_cancel(struct token_exchange *exchange);

/* The account's client id, its secret where there is one, and scope: what every request has. Texts are
 * borrowed from the values, the source and the secrets. -1 with CAUSE_SECRET when the client's secret cannot
 * be read. */
int token_client(const struct property_values *values, const struct grant_source *source,
                 struct grant_request *out, struct cause *cause) must_use;
