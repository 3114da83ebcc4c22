/* SPDX-License-Identifier: MIT */
/* One place after the other until both servers are known; see find_servers.h. */
#include "ctl/find_servers.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "common/printable.h"
#include "ctl/call.h"
#include "ctl/show.h"

/* Takes from `found` what is not known yet. False: nothing of it was news. */
static bool take_missing(struct servers *out, struct servers *found)
{
        struct mail_server *to[] = { &out->outgoing, &out->incoming },
                           *from[] = { &found->outgoing, &found->incoming };
        bool any = false;
        for (size_t i = 0; i < count_of(to); i++) {
                if (to[i]->host || !from[i]->host)
                        continue;
                *to[i] = *from[i];
                *from[i] = (struct mail_server){ 0 };
                to[i]->source = copy_text(found->source);
                any = true;
        }
        if (found->provider && !out->provider)
                out->provider = found->provider;
        servers_done(found);
        return any;
}

static void say(const struct tool *tool, const char *where, const char *what)
{
        scoped(scoped_free) char *safe = printable_text(what);
        show_done(tool, "  %-28s %s", where, safe);
}

static void say_found(const struct tool *tool, const char *where, bool found, struct servers *out,
                      struct servers *from)
{
        scoped(scoped_free) char *hosts =
                !found ? copy_text("none")
                       : text_of("%s%s%s", from->outgoing.host ? from->outgoing.host : "",
                                 from->outgoing.host && from->incoming.host ? ", " : "",
                                 from->incoming.host ? from->incoming.host : "");
        say(tool, where, hosts);
        (void)take_missing(out, from);
}

static int look_at_file(struct tool *tool, const char *address, struct servers *out)
{
        struct servers found = { 0 };
        scoped(causes_free) struct causes failures = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        term_progress(tool, "asking for the autoconfig file ...");
        struct tool_call call = { .method = EMAIL("FetchAutoconfig"),
                                  .parameters = parameters_of("domain", strrchr(address, '@') + 1),
                                  .fd = -1,
                                  .waits = true };
        int failed = call_once(tool, call, &answer, &failures);
        term_progress_end();
        enum cause_code code = failed ? failures.items[0].code : CAUSE_NONE;
        /* Only a station that cannot be asked ends the search: most domains have no such file. */
        if (code == CAUSE_NO_DAEMON || code == CAUSE_PERMISSION)
                return tell_causes(&failures);
        bool there = !failed &&
                     servers_by_file(address, json_text(answer, "text"), json_text(answer, "url"), &found);
        if (failed)
                say(tool, "autoconfig file:", failures.items[0].text);
        else
                say_found(tool, "autoconfig file:", there, out, &found);
        return EXIT_DONE;
}

/* ---- the usual names ---- */

struct attempt {
        bool resolved, connected, secured, failed;
};

static int hear(struct tool *tool, const json_t *answer, void *arg)
{
        struct attempt *attempt = arg;
        const char *step = json_text(answer, "step.step"), *result = json_text(answer, "step.result");
        bool good = same_text(result, "ok");
        (void)tool;
        attempt->resolved |= good && same_text(step, "resolve");
        attempt->connected |= good && same_text(step, "connect");
        attempt->secured |= good && same_text(step, "certificate");
        attempt->failed |= same_text(result, "failed");
        return EXIT_DONE;
}

static int try_place(struct tool *tool, const char *host, uint16_t port, const char *transport,
                     const char *security, struct attempt *out)
{
        *out = (struct attempt){ 0 };
        term_progress(tool, "trying %s port %u ...", host, port);
        json_t *parameters = parameters_of("host", host);
        json_put(parameters, "port", json_integer(port));
        parameter_text(parameters, "transport", transport);
        parameter_text(parameters, "security", security);
        int status = call_stream(tool, EMAIL("Probe"), parameters, hear, out);
        term_progress_end();
        /* EXIT_FAILED is what the server did, and an answer; every other status is of the station. */
        return status == EXIT_FAILED ? EXIT_DONE : status;
}

/* Tried in this order, TLS from the first byte before STARTTLS (RFC 8314 section 3). */
static const struct usual {
        const char *name, *transport; /* name: before the domain; "": the domain itself */
        struct {
                uint16_t port;
                const char *security;
        } ways[2];
} usual_places[] = {
        { "smtp", "smtp", { { 465, "ssl" }, { 587, "starttls" } } },
        { "mail", "smtp", { { 465, "ssl" }, { 587, "starttls" } } },
        { "", "smtp", { { 465, "ssl" }, { 587, "starttls" } } },
        { "imap", "imap", { { 993, "ssl" }, { 143, "starttls" } } },
        { "mail", "imap", { { 993, "ssl" }, { 143, "starttls" } } },
        { "", "imap", { { 993, "ssl" }, { 143, "starttls" } } },
        { "pop", "pop3", { { 995, "ssl" }, { 110, "starttls" } } },
        { "pop3", "pop3", { { 995, "ssl" }, { 110, "starttls" } } },
        { "mail", "pop3", { { 995, "ssl" }, { 110, "starttls" } } },
};

/* True where it serves; *doubtful: it is there, and its certificate is not verified. */
static int try_host(struct tool *tool, const struct usual *usual, const char *host, struct mail_server *out,
                    bool *doubtful)
{
        for (size_t i = 0; i < count_of(usual->ways); i++) {
                struct attempt attempt;
                int status = try_place(tool, host, usual->ways[i].port, usual->transport,
                                       usual->ways[i].security, &attempt);
                if (status)
                        return status;
                /* There is no such host: another port of it need not be tried. */
                if (!attempt.resolved)
                        break;
                if (!attempt.connected || (attempt.failed && !attempt.secured && out->host))
                        continue;
                *doubtful = attempt.failed;
                free(out->host);
                *out = (struct mail_server){ .transport = usual->transport,
                                             .security = usual->ways[i].security,
                                             .host = copy_text(host),
                                             .port = usual->ways[i].port };
                if (!attempt.failed)
                        break;
        }
        return EXIT_DONE;
}

static int try_usual_places(struct tool *tool, const char *address, bool incoming, struct mail_server *out)
{
        const char *domain = strrchr(address, '@') + 1;
        struct mail_server found = { 0 };
        bool doubtful = true;
        for (size_t i = 0; i < count_of(usual_places) && doubtful; i++) {
                const struct usual *usual = &usual_places[i];
                if (same_text(usual->transport, "smtp") == incoming)
                        continue;
                scoped(scoped_free) char *host =
                        text_of("%s%s%s", usual->name, usual->name[0] ? "." : "", domain);
                int status = try_host(tool, usual, host, &found, &doubtful);
                if (status) {
                        free(found.host);
                        return status;
                }
        }
        if (found.host) {
                *out = found;
                out->source = copy_text(doubtful ? "tried, and its certificate is not verified"
                                                 : "tried: it answers there");
        }
        say(tool, incoming ? "usual names, to receive:" : "usual names, to send:",
            found.host ? found.host : "none answers");
        return EXIT_DONE;
}

/* From the surest source to the weakest; what is known already is not asked for again. */
int find_servers(struct tool *tool, const char *address, struct servers *out)
{
        struct servers found = { 0 };
        bool there = servers_by_table(address, &found);
        say_found(tool, "table of providers:", there, out, &found);
        if (there)
                return EXIT_DONE;
        term_progress(tool, "asking for SRV records ...");
        there = servers_by_srv(address, &found);
        term_progress_end();
        say_found(tool, "SRV records:", there, out, &found);
        if (!servers_complete(out)) {
                int status = look_at_file(tool, address, out);
                if (status)
                        return status;
        }
        if (!servers_complete(out)) {
                there = servers_by_mx(address, &found);
                say_found(tool, "provider of the MX record:", there, out, &found);
        }
        if (!out->outgoing.host) {
                int status = try_usual_places(tool, address, false, &out->outgoing);
                if (status)
                        return status;
        }
        return out->incoming.host ? EXIT_DONE : try_usual_places(tool, address, true, &out->incoming);
}
