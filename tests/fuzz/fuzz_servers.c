/* SPDX-License-Identifier: MIT */
/* What DNS and a domain's web server say of its mail servers: bounded, and only hosts and ports that can be.
 */
#include "ctl/servers.h"
#include "fuzz.h"

#include "common/names.h"

#include <arpa/nameser.h>

static void look_at(const struct mail_server *server)
{
        if (!server->host)
                return;
        scoped(scoped_free) char *normal = host_normal(server->host, NULL);
        fuzz_must(same_text(normal, server->host) && server->port && server->transport && server->security);
        fuzz_must(!server->user || text_is_clean(server->user));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        scoped(scoped_free) char *text = copy_bytes((const char *)data, size);
        struct servers found = { 0 };
        static const int types[] = { ns_t_srv, ns_t_mx };

        (void)servers_by_file("some.one@b.example", text, "https://b.example", &found);
        look_at(&found.outgoing);
        look_at(&found.incoming);
        servers_done(&found);
        for (size_t i = 0; i < count_of(types); i++) {
                scoped(scoped_free) char *host = NULL;
                uint16_t port;
                fuzz_must(!answer_best(data, size, types[i], &host, &port) || host);
        }
        return 0;
}
