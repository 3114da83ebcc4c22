/* SPDX-License-Identifier: MIT */
/* Looking for the servers of an address in all places (servers.h), with the daemon's help. */
#pragma once

#include "ctl/servers.h"
#include "ctl/tool.h"

/* The table of providers, SRV records, the domain's autoconfig file, the provider that its MX records name,
 * and last the usual names, which are tried. Says on the way what it found where. EXIT_DONE, also where a
 * server or both were not found. */
int find_servers(struct tool *tool, const char *address, struct servers *out) must_use;
