/* SPDX-License-Identifier: MIT */
/* One command for several names; see each.h. */
#include "ctl/each.h"

#include "ctl/call.h"
#include "ctl/show.h"

int each_word(struct tool *tool, each_run *run)
{
        scoped(scoped_json) json_t *all = json_array();
        int status = EXIT_DONE;
        for (size_t i = 0; i < tool->word_count; i++) {
                json_t *one = NULL;
                int its = run(tool, tool->words[i], &one);
                if (one)
                        (void)json_array_append_new(all, one);
                status = status ? status : its;
                if (its == EXIT_NO_DAEMON)
                        break;
        }
        if (tool->json && tool->word_count > 1)
                show_json(all);
        else if (tool->json && json_array_size(all))
                show_json(json_array_get(all, 0));
        return status;
}
