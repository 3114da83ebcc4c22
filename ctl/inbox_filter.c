/* SPDX-License-Identifier: MIT */
/* Received messages chosen by their fields; see inbox_filter.h. */
#include "ctl/inbox_filter.h"

#include "common/printable.h"
#include "common/times.h"
#include "ctl/part_load.h"
#include "ctl/show.h"

char *inbox_field_words(const json_t *value)
{
        const char *text = json_string_value(value);
        const struct mime_functions *mime = text && strstr(text, "=?") ? mime_load(NULL) : NULL;
        scoped(scoped_free) char *decoded = mime ? mime->decode(text) : NULL;
        return decoded ? printable_text(decoded) : json_words(value);
}

/* A date, or so long ago. */
static int moment_of(struct tool *tool, const char *option, time_t *out)
{
        const char *text = tool_option(tool, option);
        struct cause cause = { 0 }, no_duration = { 0 };
        int64_t ago = 0;
        *out = 0;
        if (!text || time_parse(text, out, &cause) == 0)
                return EXIT_DONE;
        if (duration_parse(text, &ago, &no_duration) < 0)
                return tell_usage(tool, "--%s takes a date (2026-11-20) or how long ago (2d, 12h)", option);
        *out = time(NULL) - (time_t)ago;
        return EXIT_DONE;
}

int inbox_filter_of(struct tool *tool, struct inbox_filter *out)
{
        *out = (struct inbox_filter){ .from = tool_option(tool, "from"),
                                      .subject = tool_option(tool, "subject"),
                                      .unseen = tool_has(tool, "unseen") };
        int status = moment_of(tool, "since", &out->since);
        if (!status)
                status = moment_of(tool, "before", &out->before);
        out->any = out->from || out->subject || out->since || out->before || out->unseen;
        return status;
}

static bool holds(const json_t *message, const char *field, const char *wanted)
{
        const json_t *value = json_object_get(message, field);
        scoped(scoped_free) char *words = inbox_field_words(value);
        const char *raw = json_string_value(value);
        return !wanted || strcasestr(words, wanted) || (raw && strcasestr(raw, wanted));
}

static time_t received(const json_t *message)
{
        time_t time = 0;
        return time_parse(json_text(message, "received"), &time, NULL) < 0 ? 0 : time;
}

bool inbox_filter_takes(const struct inbox_filter *filter, const json_t *message)
{
        if (filter->unseen && json_flag(message, "seen"))
                return false;
        time_t time = filter->since || filter->before ? received(message) : 0;
        if ((filter->since && time < filter->since) || (filter->before && time >= filter->before))
                return false;
        return holds(message, "from", filter->from) && holds(message, "subject", filter->subject);
}

bool inbox_filter_ends(const struct inbox_filter *filter, const json_t *message)
{
        return filter->since && received(message) < filter->since;
}
