/* SPDX-License-Identifier: MIT */
/* Notices that the System Trust Store, or the folder of revocation lists, was changed on disk. */
#pragma once

#include "daemon/tls/trust.h"

/* Watches what the settings name from now on, in place of anything before. `changed` on the loop, once what
 * goes on there has been quiet for a moment. A place that cannot be watched is read again on reload only. */
void trust_watch(const struct trust_settings *settings, void (*changed)(void *ctx), void *ctx);
void trust_watch_close(void);
