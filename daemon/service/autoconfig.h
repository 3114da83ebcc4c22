/* SPDX-License-Identifier: MIT */
/*
 * The file in which a domain tells its mail servers (autoconfig, as Thunderbird and others read it), by HTTPS
 * with the same verdict on the certificate as mail servers get. What is in it is not looked at here. Nobody's
 * address is told to the server.
 */
#pragma once

#include "common/cause.h"

struct autoconfig;

/* Tries the two usual places one after the other. `done` once, never before this returns: with the text of
 * the first that has one (and its URL), or with why the last has none. */
struct autoconfig *autoconfig_fetch(const char *domain,
                                    void (*done)(void *ctx, const char *url, const char *text,
                                                 const struct cause *why),
                                    void *ctx);
/* No call any more. */
void autoconfig_cancel(struct autoconfig *autoconfig);
