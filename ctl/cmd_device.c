/* SPDX-License-Identifier: MIT */
/* `device ...`: who may submit by SMTP with a name and a password. */
#include "common/json_fields.h"
#include "common/printable.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

int run_device_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "NAME", "name", NULL, COLUMN_WHOLE },
                { "PASSWORD", "password", NULL, 0 },
                { "ACCOUNT", "account", NULL, 0 },
                { "SENDER", "from", NULL, 0 },
                { "LAST SIGNED IN", "signedIn", date_words, 0 },
                { "FAULT", "fault", NULL, COLUMN_BELOW },
        };
        return tool_show_list(tool, EMAIL("ListDevices"), NULL, "devices", columns, count_of(columns),
                              "There is no device: emailsecctl device add NAME");
}

static int tell_device(struct tool *tool, const json_t *answer, const char *words)
{
        if (tool->json)
                show_json(json_at(answer, "device") ? json_at(answer, "device") : answer);
        else
                show_done(tool, "%s: %s", tool_word(tool, 0), words);
        return EXIT_DONE;
}

int run_device_add(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        json_t *parameters = parameters_of("name", tool_word(tool, 0));

        parameter_text(parameters, "account", tool_option(tool, "account"));
        parameter_text(parameters, "from", tool_option(tool, "from"));
        int status = call_daemon(tool, EMAIL("AddDevice"), parameters, &answer);
        /* Until it has one it cannot sign in. */
        scoped(scoped_free) char *words =
                text_of("added; it needs a password: emailsecctl device password %s", tool_word(tool, 0));
        return status ? status : tell_device(tool, answer, words);
}

int run_device_password(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        struct causes failures = { 0 };
        struct cause cause = { 0 };
        char *secret = secret_of_person(tool, "password", tool_word(tool, 0), &cause);

        /* JSON holds UTF-8 only, and a password that was escaped like other texts would be another
         * one. */
        if (secret && !utf8_valid(secret, strlen(secret))) {
                (void)cause_set(&cause, CAUSE_INVALID, "the password is not UTF-8");
                free_secret(take(secret));
        }
        if (!secret)
                return tell_cause(&cause);
        struct tool_call call = { .method = EMAIL("SetDevicePassword"),
                                  .parameters = parameters_of("name", tool_word(tool, 0)),
                                  .fd = -1,
                                  .secret = true };
        parameter_text(call.parameters, "password", secret);
        free_secret(secret);
        int status = call_once(tool, call, &answer, &failures) ? tell_causes(&failures) : EXIT_DONE;
        causes_free(&failures);
        return status ? status : tell_device(tool, answer, "the password was set");
}

int run_device_delete(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status =
                call_daemon(tool, EMAIL("DeleteDevice"), parameters_of("name", tool_word(tool, 0)), &answer);

        return status ? status : tell_device(tool, answer, "deleted");
}
