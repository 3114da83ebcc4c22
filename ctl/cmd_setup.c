/* SPDX-License-Identifier: MIT */
/* `setup ADDRESS`: finds the servers of an address, adds both accounts, tests them, says what is left. `probe
 * ADDRESS`: finds them and looks at them. */
#include "common/json_fields.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/properties.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/find_servers.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/steps.h"

#include <ctype.h>
#include <fcntl.h>
#include <unistd.h>

struct setup {
        struct tool *tool;
        const char *address;
        struct servers servers;
        char *names[2];        /* of the accounts: outgoing, incoming; NULL: none is added */
        char *password;        /* or NULL: OAuth, or there is none */
        const char *client_id; /* of OAuth */
        bool good[2];          /* the test went well */
        json_t *tests;         /* their steps, for --json */
};

/* In the order of the accounts: i is 0 for outgoing, 1 for incoming everywhere in this file. */
static const char *const kinds[] = { "outgoing", "incoming" };

static const struct mail_server *server_of(const struct setup *setup, size_t i)
{
        return i ? &setup->servers.incoming : &setup->servers.outgoing;
}

static void setup_done(struct setup *setup)
{
        servers_done(&setup->servers);
        free(setup->names[0]);
        free(setup->names[1]);
        free_secret(setup->password);
        json_decref(setup->tests);
}

static bool is_wanted(const struct setup *setup, size_t i)
{
        const char *only = tool_option(setup->tool, "only");
        return !only || same_text(only, kinds[i]);
}

/* What was said, what the provider's data says, else the address: that is what most servers take. */
static const char *user_of(const struct setup *setup, size_t i)
{
        const char *given = tool_option(setup->tool, "user"), *found = server_of(setup, i)->user;
        return given ? given : found ? found : setup->address;
}

/* ---- what was found ---- */

static void show_server(const char *label, const struct setup *setup, size_t i)
{
        const struct mail_server *server = server_of(setup, i);
        if (!server->host) {
                sheet_text(label, "no server was found");
                return;
        }
        /* Only of the domain itself, or below it: a name in DNS alone, without DNSSEC, is anybody's
         * (RFC 6186 section 6). */
        const char *domain = strrchr(setup->address, '@') + 1;
        size_t host_len = strlen(server->host), len = strlen(domain);
        bool within = host_len >= len && same_text(server->host + host_len - len, domain);
        bool dns_alone = !within && server->source && !strncmp(server->source, "SRV", 3);
        sheet_format(label, "%s port %u, %s, as %s\nfound by %s%s", server->host, server->port,
                     same_text(server->security, "ssl") ? "TLS from the first byte" : "TLS by STARTTLS",
                     user_of(setup, i), server->source ? server->source : "",
                     dns_alone ? "; it is not of that domain, and DNS alone says so: look twice" : "");
}

static void show_found(const struct setup *setup)
{
        const struct provider *provider = setup->servers.provider;
        sheet_title(setup->address);
        show_server("sending", setup, 0);
        show_server("receiving", setup, 1);
        if (provider && provider->oauth[0])
                sheet_format("signing in", "by OAuth (%s takes no passwords)", provider->name);
        if (provider && provider->left[0])
                sheet_text("to do there", provider->left);
}

static json_t *server_json(const struct setup *setup, size_t i)
{
        const struct mail_server *server = server_of(setup, i);
        if (!server->host)
                return json_null();
        json_t *one = json_object();
        json_put_text(one, "hostname", server->host);
        json_put(one, "port", json_integer(server->port));
        json_put_text(one, "transport", server->transport);
        json_put_text(one, "security", server->security);
        json_put_text(one, "account", user_of(setup, i));
        json_put_text(one, "source", server->source);
        return one;
}

static void show_result(const struct setup *setup)
{
        json_t *all = json_object(), *accounts = json_array();
        const struct provider *provider = setup->servers.provider;
        for (size_t i = 0; i < 2; i++)
                if (setup->names[i]) {
                        json_t *one = json_object();
                        json_put_text(one, "name", setup->names[i]);
                        json_put_text(one, "kind", kinds[i]);
                        json_put(one, "works", json_boolean(setup->good[i]));
                        (void)json_array_append_new(accounts, one);
                }
        json_put_text(all, "address", setup->address);
        json_put(all, "outgoing", server_json(setup, 0));
        json_put(all, "incoming", server_json(setup, 1));
        json_put_text(all, "provider", provider ? provider->name : NULL);
        json_put_text(all, "left", provider && provider->left[0] ? provider->left : NULL);
        json_put(all, "accounts", accounts);
        json_put(all, "tests", setup->tests ? json_incref(setup->tests) : json_array());
        show_json(all);
        json_decref(all);
}

/* ---- what is added ---- */

static int add_name(void *names, json_t *account)
{
        json_put(names, json_text(account, "name"), json_true());
        return EXIT_DONE;
}

/* What names may have of a text, the rest left out. */
static char *name_part(const char *text, size_t len)
{
        char *out = new_zeroed(len + 1, 1);
        size_t n = 0;
        for (size_t i = 0; i < len && n < 24; i++)
                if (isalnum((unsigned char)text[i]) || (n && strchr("._-", text[i])))
                        out[n++] = text[i];
        if (!n)
                memcpy(out, "mail", len < 4 ? len : 4);
        return out;
}

/* A name that is free for both accounts, as they share it; of what was given no other is made. */
static int choose_names(struct setup *setup)
{
        static const char *const behind[] = { "-out", "-in" };
        const char *given = tool_option(setup->tool, "name"), *domain = strrchr(setup->address, '@') + 1;
        scoped(scoped_json) json_t *names = json_object();
        int status = each_account(setup->tool, NULL, add_name, names, NULL);
        if (status)
                return status;
        scoped(scoped_free) char *label = name_part(domain, strcspn(domain, "."));
        scoped(scoped_free) char *local = name_part(setup->address, (size_t)(domain - 1 - setup->address));
        for (int attempt = 0; attempt < 100; attempt++) {
                scoped(scoped_free) char *name = given          ? copy_text(given)
                                                 : attempt == 0 ? copy_text(label)
                                                 : attempt == 1 ? text_of("%s-%s", label, local)
                                                                : text_of("%s-%s-%d", label, local, attempt);
                bool taken = false;
                for (size_t i = 0; i < 2; i++) {
                        free(take(setup->names[i]));
                        if (!server_of(setup, i)->host || !is_wanted(setup, i))
                                continue;
                        setup->names[i] = text_of("%s%s", name, behind[i]);
                        taken = taken || json_object_get(names, setup->names[i]);
                }
                if (!taken)
                        return EXIT_DONE;
                if (given)
                        break;
        }
        struct cause cause;
        (void)cause_set(&cause, CAUSE_EXISTS, "there are accounts of these names already");
        cause_remedy(&cause, "say --name NAME with another one");
        return tell_cause(&cause);
}

/* The port only where it is not the usual one: else it follows a later change of the security. */
static json_t *account_of(const struct setup *setup, size_t i)
{
        const struct mail_server *server = server_of(setup, i);
        const struct provider *provider = setup->servers.provider;
        json_t *values = json_object(), *account = json_object();
        bool ssl = same_text(server->security, "ssl");
        json_put_text(values, "transport", server->transport);
        json_put_text(values, "hostname", server->host);
        json_put(values, "useSsl", json_boolean(ssl));
        json_put(values, "useStartTls", json_boolean(!ssl));
        if (server->port != port_of_table(server->transport, ssl, !ssl))
                json_put(values, "port", json_integer(server->port));
        json_put_text(values, "account", user_of(setup, i));
        json_put(values, "enabled", json_false()); /* until it was tested */
        if (i == 0)
                json_put_text(values, "from", setup->address);
        if (provider && provider->oauth[0]) {
                json_put_text(values, "authentication", "xoauth2");
                json_put_text(values, "oauthProvider", provider->oauth);
                json_put_text(values, "oauthGrant", "device");
                json_put_text(values, "oauthClientId", setup->client_id);
        }
        json_put_text(account, "name", setup->names[i]);
        json_put_text(account, "kind", kinds[i]);
        json_put(account, "properties", values);
        return account;
}

/* One call for both: a half of a setup is worse than none. */
static int add_accounts(struct setup *setup)
{
        json_t *accounts = json_array(), *parameters = json_object();
        for (size_t i = 0; i < 2; i++)
                if (setup->names[i])
                        (void)json_array_append_new(accounts, account_of(setup, i));
        json_put(parameters, "accounts", accounts);
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(setup->tool, EMAIL("Apply"), parameters, &answer); /* both or none */
        for (size_t i = 0; !status && i < 2; i++)
                if (setup->names[i])
                        show_done(setup->tool, "%s: added", setup->names[i]);
        return status;
}

/* A call of its own, as Apply takes no secrets; its text is overwritten once it is sent. */
static int store_password(const struct setup *setup, const char *name)
{
        scoped(causes_free) struct causes failures = { 0 };
        json_t *parameters = parameters_of("name", name);
        json_put(parameters, "password", json_string(setup->password));
        struct tool_call call = {
                .method = EMAIL("SetPassword"), .parameters = parameters, .fd = -1, .secret = true
        };
        return call_once(setup->tool, call, NULL, &failures) ? tell_causes(&failures) : EXIT_DONE;
}

static int enable(struct tool *tool, const char *name)
{
        json_t *parameters = parameters_of("name", name), *values = json_object();
        json_put(values, "enabled", json_true());
        json_put(parameters, "properties", values);
        return call_daemon(tool, EMAIL("SetAccount"), parameters, NULL);
}

/* Signs in where that is by OAuth, tests, and puts to work what works. */
static int try_account(struct setup *setup, size_t i)
{
        struct tool *tool = setup->tool;
        const char *name = setup->names[i];
        bool oauth = setup->servers.provider && setup->servers.provider->oauth[0];
        scoped(scoped_json) json_t *steps = NULL;
        if (!tool->json)
                sheet_title(name);
        int status = EXIT_DONE;
        if (oauth) {
                scoped(scoped_json) json_t *signed_in = NULL;
                status = steps_hear(tool, EMAIL("AuthorizeAccount"), parameters_of("name", name), &signed_in);
        }
        if (!status)
                status = steps_hear(tool, EMAIL("TestAccount"), parameters_of("name", name), &steps);
        setup->good[i] = status == EXIT_DONE;
        json_t *one = json_object();
        json_put_text(one, "account", name);
        json_put(one, "steps", steps ? json_incref(steps) : json_array());
        /* Disabled still when the test failed: what does not work must not raise alarms from its
         * first minute. */
        (void)json_array_append_new(setup->tests, one);
        return status ? status : enable(tool, name);
}

/* ---- what is left ---- */

/* Of one account; false where nothing is. */
static bool tell_left_of(const struct setup *setup, size_t i)
{
        const char *name = setup->names[i];
        if ((name && setup->good[i]) || (!name && !is_wanted(setup, i)))
                return false;
        scoped(scoped_free) char *text = name ? text_of("%s is added, and stays disabled until it works: "
                                                        "mend what is said above, then emailsecctl account "
                                                        "test %s, emailsecctl account enable %s",
                                                        name, name, name)
                                              : text_of("no server was found for the %s account: emailsecctl "
                                                        "account add %s NAME hostname=HOST",
                                                        kinds[i], kinds[i]);
        show_advice(TINT_WAIT, text, NULL);
        return true;
}

/* What To do says of the station that may be news with a new account. */
static bool tell_left_of_station(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        bool any = false;
        json_t *parameters = json_object();
        json_put(parameters, "limit", json_integer(1)); /* of accounts nothing is wanted */
        if (call_daemon(tool, EMAIL("GetStatus"), parameters, &answer))
                return false;
        const json_t *advice = json_at(answer, "status.advice");
        for (size_t i = 0; i < json_array_size(advice); i++) {
                scoped(scoped_free) char *text = json_words(json_array_get(advice, i));
                if (!strstr(text, "names no account") && !strstr(text, "local name"))
                        continue;
                show_advice(TINT_WAIT, text, NULL);
                any = true;
        }
        return any;
}

static void tell_left(const struct setup *setup)
{
        const struct provider *provider = setup->servers.provider;
        puts("");
        bool outgoing = tell_left_of(setup, 0), incoming = tell_left_of(setup, 1), any = outgoing || incoming;
        if (provider && provider->left[0] && any)
                show_advice(TINT_WAIT, provider->left, NULL);
        any = tell_left_of_station(setup->tool) || any;
        puts(any ? "" : "Nothing is left to do.");
}

/* ---- the whole ---- */

/* Before anything is asked or added. Where nobody can answer, --yes must have been said. */
static int agree(const struct setup *setup)
{
        if (tool_has(setup->tool, "yes"))
                return EXIT_DONE;
        if (!term_input())
                return tell_usage(setup->tool, "nobody is there to agree: say --yes");
        scoped(scoped_free) char *question = text_of(
                "Add %s%s%s? [y/N] ", setup->names[0] ? setup->names[0] : "",
                setup->names[0] && setup->names[1] ? " and " : "", setup->names[1] ? setup->names[1] : "");
        scoped(scoped_free) char *answer = ask_line(question);
        if (answer && (answer[0] == 'y' || answer[0] == 'Y'))
                return EXIT_DONE;
        fputs("Nothing was added.\n", stderr);
        return EXIT_FAILED;
}

/* By --password-file, the terminal or standard input. */
static int get_password(struct setup *setup)
{
        const char *file = tool_option(setup->tool, "password-file");
        struct cause cause = { 0 };
        if (!file) {
                setup->password = secret_of_person(setup->tool, "password", setup->address, &cause);
        } else {
                scoped(scoped_close) int fd = read_file_open(file, &cause);
                /* The file becomes standard input, so that it is read by the rules of one that is
                 * piped in. */
                if (fd < 0 || dup2(fd, STDIN_FILENO) < 0) {
                        cause_remedy(&cause, "name a file with the password in its first line");
                        return tell_cause(&cause);
                }
                setup->password = read_secret(&cause);
        }
        if (setup->password && !utf8_valid(setup->password, strlen(setup->password))) {
                (void)cause_set(&cause, CAUSE_INVALID, "the password is not UTF-8");
                free_secret(take(setup->password));
        }
        return setup->password ? EXIT_DONE : tell_cause(&cause);
}

static int get_client_id(struct setup *setup)
{
        setup->client_id = tool_option(setup->tool, "client-id");
        if (setup->client_id)
                return EXIT_DONE;
        return tell_usage(
                setup->tool,
                "%s takes no passwords: say --client-id ID, that of the application registered there "
                "(emailsec-accounts(5))",
                setup->servers.provider->name);
}

static int find(struct setup *setup)
{
        struct cause cause = { 0 };
        if (address_check(setup->address, false, &cause))
                return tell_usage(setup->tool, "%s", cause.text);
        show_done(setup->tool, "Looking for the servers of %s:", setup->address);
        int status = find_servers(setup->tool, setup->address, &setup->servers);
        if (status)
                return status;
        if (!setup->tool->json) {
                puts("");
                show_found(setup);
        }
        if (setup->servers.outgoing.host || setup->servers.incoming.host)
                return EXIT_DONE;
        (void)cause_set(&cause, CAUSE_NOT_FOUND, "no server of %s was found that has TLS", setup->address);
        cause_remedy(&cause,
                     "ask the provider for them, then: emailsecctl account add outgoing NAME hostname=HOST");
        return tell_cause(&cause);
}

/* The accounts with their password, disabled. */
static int prepare(struct setup *setup)
{
        bool oauth = setup->servers.provider && setup->servers.provider->oauth[0];
        int status = agree(setup);
        if (!status)
                status = oauth ? get_client_id(setup) : get_password(setup);
        if (!status)
                status = add_accounts(setup);
        for (size_t i = 0; !status && setup->password && i < 2; i++)
                if (setup->names[i])
                        status = store_password(setup, setup->names[i]);
        return status;
}

static int set_up(struct setup *setup)
{
        int status = choose_names(setup);
        if (!status && !setup->names[0] && !setup->names[1]) {
                struct cause cause;
                (void)cause_set(&cause, CAUSE_NOT_FOUND, "no server was found for the %s account",
                                tool_option(setup->tool, "only"));
                cause_remedy(&cause, "leave out --only, or ask the provider");
                return tell_cause(&cause);
        }
        if (!status)
                status = prepare(setup);
        if (status)
                return status;
        for (size_t i = 0; i < 2; i++) {
                int result = setup->names[i] ? try_account(setup, i) : EXIT_DONE;
                status = status ? status : result;
        }
        if (setup->tool->json)
                show_result(setup);
        else
                tell_left(setup);
        return status;
}

/* Nothing is changed while servers are looked for: what is found is agreed to first. */
int run_setup(struct tool *tool)
{
        scoped(setup_done) struct setup setup = { .tool = tool,
                                                  .address = tool_word(tool, 0),
                                                  .tests = json_array() };
        int status = find(&setup);
        return status ? status : set_up(&setup);
}

/* The same search, and a look at what it found: nothing is added. */
int run_probe_address(struct tool *tool)
{
        scoped(setup_done) struct setup setup = { .tool = tool,
                                                  .address = tool_word(tool, 0),
                                                  .tests = json_array() };
        int status = find(&setup);
        for (size_t i = 0; !status && i < 2; i++) {
                const struct mail_server *server = server_of(&setup, i);
                if (!server->host)
                        continue;
                json_t *parameters = parameters_of("host", server->host), *one = json_object();
                json_put(parameters, "port", json_integer(server->port));
                parameter_text(parameters, "transport", server->transport);
                parameter_text(parameters, "security", server->security);
                if (!tool->json)
                        sheet_title(server->host);
                scoped(scoped_json) json_t *steps = NULL;
                int result = steps_hear(tool, EMAIL("Probe"), parameters, &steps);
                setup.good[i] = result == EXIT_DONE;
                json_put_text(one, "account", kinds[i]);
                json_put(one, "steps", json_incref(steps));
                (void)json_array_append_new(setup.tests, one);
        }
        if (tool->json && (setup.servers.outgoing.host || setup.servers.incoming.host))
                show_result(&setup);
        bool bad = (setup.servers.outgoing.host && !setup.good[0]) ||
                   (setup.servers.incoming.host && !setup.good[1]);
        return status ? status : bad ? EXIT_FAILED : EXIT_DONE;
}
