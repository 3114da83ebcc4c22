/* SPDX-License-Identifier: MIT */
/* Calls of the station's socket by people and programs of the simulation. Each has a connection of its own.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAIL_METHOD  "io.emailsec.EmailService."
#define TRUST_METHOD "io.emailsec.Trust."

/* Called once for each reply: `reply` is its parameters (borrowed), NULL: it was an error, whose name is
 * `error` (without interface), or NULL when the station went without an answer. */
typedef void (*answered)(void *ctx, json_t *reply, const char *error);

void calls_open(void); /* while the world is built */
/* Every call is answered, or its caller told that the station has gone: ends the history where one has waited
 * longer than `most` ms. `method` of all that follow is kept. */
void calls_look(int64_t most);

/* `parameters` (stolen) is what is said. `file` goes along as descriptor 0; NULL: none. `ctx` is the world's
 * memory, or static. When nobody listens it is answered at once, as one that went without an answer. */
void station_call(const char *method, json_t *parameters, const void *file, size_t len, answered then,
                  void *ctx);
/* One with `more`: `then` for each reply, and at the end with NULL and NULL. */
void station_listen(const char *method, json_t *parameters, answered then, void *ctx);
/* One with `more` by somebody who goes away after so long, whatever is under way; or as soon as so many
 * replies have come (0: however many). */
void station_glance(const char *method, json_t *parameters, int64_t ms, unsigned replies);
