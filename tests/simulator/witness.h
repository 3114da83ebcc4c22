/* SPDX-License-Identifier: MIT */
/*
 * A second, naive judge of certificates. It knows what the world knows, which certificate was shown, what
 * people have decided and imported, and which time the station's clock has, and nothing of the station's own.
 */
#pragma once

#include "tests/simulator/servers.h"

void witness_open(void); /* while the world is built */

/* A server has heard `what`, which no stranger may hear, on a session with that certificate (NULL: none, in
 * clear) for that name: ends the history when it must not have. */
void witness_judges(const struct mail_server *server, const struct cert *cert, const char *name,
                    const char *what);

/* What is wrong with it now, by the station's clock: bits of enum witness_problem. */
enum witness_problem { WITNESS_ISSUER = 1, WITNESS_NAME = 2, WITNESS_EXPIRED = 4, WITNESS_NOT_YET = 8 };
unsigned witness_problems(const struct cert *cert, const char *host);

/* People's decisions: asked for (it may count from now on), answered or refused by the station. */
enum witness_word { WORD_APPROVED, WORD_REJECTED, WORD_DELETED };
void witness_decides(const char *host, uint16_t port, const char *fingerprint, unsigned problems,
                     enum witness_word word);
void witness_imports_plant(bool imported);
