/* SPDX-License-Identifier: MIT */
/* Who uses which server; see server_users.h. */
#include "daemon/service/server_users.h"

#include "daemon/accounts/index.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/tls/allowed.h"

/* Without TLS no certificate is shown, so no exemption is used. Of an account that signs in by OAuth the
 * token endpoints are servers as well, whose certificates may need an exemption. When in doubt an entry
 * counts as used: an unused one is only a line too many. */
bool server_users_of(const char *host, uint16_t port)
{
        return index_count(INDEX_UNREADABLE) || index_next(INDEX_SERVER, host, port, "") ||
               index_next(INDEX_TOKENS, host, port, "");
}

/* One look is on its way: many accounts that change in one turn cause one. */
static bool looking;

static void look(void *ctx)
{
        (void)ctx;
        looking = false;
        allowed_look_at_users(server_users_of, true);
        manager_status_changed();
}

void server_users_changed(void)
{
        if (looking)
                return;
        looking = true;
        loop_later(look, NULL);
}

void server_users_begin(void)
{
        looking = false;
        allowed_look_at_users(server_users_of, false);
}
