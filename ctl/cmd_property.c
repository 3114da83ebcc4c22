/* SPDX-License-Identifier: MIT */
/* `property list`: what an account or the service can be told, as the daemon describes it. */
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

int run_property_list(struct tool *tool)
{
        static const struct column of_account[] = {
                { "PROPERTY", "name", NULL, COLUMN_WHOLE },
                { "GROUP", "group", NULL, 0 },
                { "TYPE", "type", NULL, 0 },
                { "ACCESS", "access", NULL, 0 },
                { "DEFAULT", "default", NULL, 0 },
                { "MEANING", "help", NULL, COLUMN_BELOW },
        };
        static const struct column of_service[] = {
                { "SECTION", "section", NULL, 0 }, { "KEY", "key", NULL, COLUMN_WHOLE },
                { "VALUE", "value", NULL, 0 },     { "DEFAULT", "default", NULL, 0 },
                { "CHANGED", "changed", NULL, 0 }, { "MEANING", "help", NULL, COLUMN_BELOW },
        };
        const char *of = tool_word(tool, 0);
        bool service = same_text(of, "service");
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("DescribeProperties"), NULL, &answer);
        if (!status)
                show_list(tool, service ? of_service : of_account,
                          service ? count_of(of_service) : count_of(of_account),
                          json_at(answer, service ? "settings" : of), "");
        return status;
}
