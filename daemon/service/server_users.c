/* SPDX-License-Identifier: MIT */
/* Who uses which server; see server_users.h. */
#include "daemon/service/server_users.h"

#include "daemon/accounts/accounts.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/sasl/grant.h"
#include "daemon/session/token.h"
#include "daemon/tls/allowed.h"

/* A URL that cannot be read is nobody's. */
static bool is_at(const char *url, const char *host, uint16_t port)
{
        struct http_place place = { 0 };

        if (!url || !url[0] || http_place_of(url, &place, NULL) < 0)
                return false;
        bool same = place.port == port && same_text(place.host, host);
        http_place_done(&place);
        return same;
}

/* Of an account that signs in by OAuth the token endpoints are servers as well, whose certificates may need
 * an exemption. */
static bool asks_for_tokens(const struct property_values *values, const char *host, uint16_t port)
{
        struct grant_source source;

        if (!prop_fetches_tokens(values))
                return false;
        grant_source_of(values, &source);
        bool same = is_at(source.token_url, host, port) || is_at(source.device_url, host, port);
        grant_source_done(&source);
        return same;
}

/* Without TLS no certificate is shown, so no exemption is used. When in doubt an entry counts as used: an
 * unused one is only a line too many. */
static bool uses(const struct account *account, const char *host, uint16_t port)
{
        const struct property_values *values = &account->values;
        bool tls = prop_bool(values, PROP_USE_SSL) || prop_bool(values, PROP_USE_STARTTLS);

        if (account->unreadable)
                return true; /* nobody knows */
        return (tls && port_in_use(values) == port && same_text(prop_text(values, PROP_HOSTNAME), host)) ||
               asks_for_tokens(values, host, port);
}

/* A walk over all accounts, for each entry of the Allowed Hosts: seldom, and by way of the loop. */
bool server_users_of(const char *host, uint16_t port)
{
        for (const struct account *account = accounts_first(); account; account = account->next)
                if (uses(account, host, port))
                        return true;
        return false;
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
