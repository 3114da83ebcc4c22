/* SPDX-License-Identifier: MIT */
/*
 * Whether somebody's words repeat a secret, in whatever form it was sent or is likely to come back: as it is,
 * in base64 (alone or inside a longer message), percent-encoded, escaped as in JSON or HTML, or a long part
 * of it only. Such words go into no cause, trace or journal (S38).
 */
#pragma once

#include "common/cleanup.h"

/* What is shorter stands in ordinary words: leaving those out would tell nothing of the server's, and of the
 * secret which letters it has. */
enum { SECRET_SHORTEST = 3 };
/* NULL, "" and what is that short are repeated by nothing. */
bool secret_repeated(const char *words, size_t len, const char *secret);
