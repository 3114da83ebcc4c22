/* SPDX-License-Identifier: MIT */
/*
 * The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), for devices that sign in here, and what is kept of
 * their passwords: keys from which nobody gets the password back but by guessing, and with which nobody can
 * sign in. No I/O. Channel binding is not offered (no -PLUS).
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

enum { SCRAM_SALT = 16, SCRAM_KEY = 32, SCRAM_ROUNDS = 10000, SCRAM_ROUNDS_MOST = 1000000, SCRAM_USER = 64 };

struct scram_keys {
        unsigned rounds;
        uint8_t salt[SCRAM_SALT], stored[SCRAM_KEY], server[SCRAM_KEY];
};
/* Takes milliseconds: on a worker thread. -1: the password cannot be one (RFC 4013). */
int scram_keys_make(const char *password, struct scram_keys *out, struct cause *cause) must_use;
/* The same; whether the password is the one that the keys are of. */
bool scram_keys_fit(const struct scram_keys *keys, const char *password) must_use;
/* For somebody whom nobody knows: always the same for the same name, so that it cannot be told from one who
 * is known. */
void scram_keys_invent(const char *name, struct scram_keys *out);

struct scram_server;
/* The client's first message: NULL when it is none. */
struct scram_server *scram_server_new(const uint8_t *bytes, size_t len) must_use;
void scram_server_free(struct scram_server *server);
/* Who it says it is. */
const char *scram_server_user(const struct scram_server *server);
/* The first message of the server; valid as long as `server`. */
const char *scram_server_challenge(struct scram_server *server, const struct scram_keys *keys);
/* The client's last message: whether it proves that the client knows the password. Then *last is the
 * server's, the proof that it has the keys; valid as long as `server`. */
bool scram_server_proven(struct scram_server *server, const uint8_t *bytes, size_t len, const char **last)
        must_use;
