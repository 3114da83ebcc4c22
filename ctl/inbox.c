/* SPDX-License-Identifier: MIT */
/* Received messages chosen by their fields, and their attachments into files; see inbox.h. */
#include "ctl/inbox.h"

#include "common/json_fields.h"
#include "common/line_ends.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/part_load.h"
#include "ctl/show.h"
#include "ctl/tool.h"
#include "ctl/view.h"

#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

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

/* ---- attachments into files ---- */

enum {
        NAME_MOST = 150, /* bytes: with a number it stays far below what file systems take */
        SAME_NAMES = 10000,
};

static const char *last_part(const char *name)
{
        const char *last = name;
        for (const char *at = name; *at; at++)
                if ((*at == '/' || *at == '\\') && at[1])
                        last = at + 1;
        return last;
}

static void put(struct buf *out, const char *bytes, size_t len)
{
        if (buf_append(out, bytes, len) < 0)
                abort(); /* within its bound: as new_object */
}

/* The end of a name from its last dot on, where that is a usual ending. */
static const char *ending_of(const char *name)
{
        const char *dot = strrchr(name, '.');
        return dot && dot != name && strlen(dot) <= 12 ? dot : name + strlen(name);
}

/* Cut where a character ends, the ending kept. */
static char *bounded(const char *name)
{
        const char *ending = ending_of(name);
        size_t len = (size_t)(ending - name), most = NAME_MOST - strlen(ending);
        if (len > most)
                for (len = most; len && ((unsigned char)name[len] & 0xc0) == 0x80;)
                        len--;
        return text_of("%.*s%s", (int)len, name, ending);
}

char *attachment_file_name(const char *name, size_t number)
{
        const char *part = last_part(name ? name : "");
        size_t len = strlen(part);
        struct buf safe = BUF_WITH_MAX(len + 8);
        for (size_t at = 0; at < len;) {
                uint32_t point;
                size_t step = utf8_character(part + at, len - at, &point);
                bool bad = !step || is_treacherous(point) || strchr("/\\:*?\"<>|", part[at]);
                bool first = !safe.len && strchr(".- ~", part[at]);
                put(&safe, bad || first ? "_" : part + at, bad || first ? 1 : step);
                at += step ? step : 1;
        }
        scoped(scoped_free) char *text = buf_take_text(&safe);
        for (size_t end = strlen(text); end && (text[end - 1] == ' ' || text[end - 1] == '.');)
                text[--end] = '\0';
        return text[strspn(text, "_")] ? bounded(text) : text_of("attachment-%zu", number);
}

/* ---- files ---- */

/* A new file of that name, or with a number before the ending; *name becomes it. */
static int open_new(int folder, char **name)
{
        for (unsigned number = 1; number < SAME_NAMES; number++) {
                const char *ending = ending_of(*name);
                scoped(scoped_free) char *numbered =
                        number == 1 ? copy_text(*name)
                                    : text_of("%.*s-%u%s", (int)(ending - *name), *name, number, ending);
                int fd = openat(folder, numbered, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
                if (fd >= 0) {
                        free(*name);
                        *name = take(numbered);
                }
                if (fd >= 0 || errno != EEXIST)
                        return fd;
        }
        return -1;
}

/* What is sent as lines has the line ends of this system in a file. */
static void end_lines(struct attachment *one)
{
        bool lines = one->transfer == TRANSFER_SEVEN || one->transfer == TRANSFER_EIGHT ||
                     one->transfer == TRANSFER_UNKNOWN ||
                     (one->transfer == TRANSFER_QUOTED && strncasecmp(one->type, "text/", 5) == 0);
        bool cr = false;
        size_t taken = one->size;
        if (!lines)
                return;
        size_t kept = line_ends_shorten((uint8_t *)one->bytes, one->size, &cr, &taken);
        memmove(one->bytes + kept, one->bytes + taken, one->size - taken);
        one->size = kept + (one->size - taken);
        if (cr)
                one->bytes[one->size++] = '\r';
}

static int save(int folder, const char *folder_name, struct attachment *one, size_t number, json_t *saved,
                struct cause *cause)
{
        scoped(scoped_free) char *name = attachment_file_name(one->name, number);
        scoped(scoped_close) int fd = open_new(folder, &name);
        if (fd < 0)
                return cause_errno(cause, errno, "cannot make a file %s", name);
        end_lines(one);
        if (tool_write(fd, one->bytes, one->size) < 0) {
                int error = errno;
                (void)unlinkat(folder, name, 0);
                return cause_errno(cause, error, "cannot write %s", name);
        }
        scoped(scoped_free) char *path = folder_name ? text_of("%s/%s", folder_name, name) : copy_text(name);
        json_t *told = json_object();
        json_put_text(told, "name", one->name);
        json_put_text(told, "path", path);
        json_put_text(told, "type", one->type);
        json_put(told, "size", json_integer((json_int_t)one->size));
        (void)json_array_append_new(saved, told);
        return 0;
}

int attachments_save(const struct buf *message, bool lf, const char *folder, json_t *saved,
                     struct cause *cause)
{
        scoped(scoped_close) int into = open(folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        scoped(scoped_free) uint8_t *whole = new_memory(2 * message->len + 1);
        struct view view;
        int result = 0;
        if (into < 0)
                return cause_errno(cause, errno, "cannot save into the folder %s", folder ? folder : ".");
        size_t len = message->len;
        if (lf)
                len = line_ends_lengthen(buf_bytes(message), len, whole);
        else if (len)
                memcpy(whole, buf_bytes(message), len);
        const struct mime_functions *mime = memmem(whole, len, "=?", 2) ? mime_load(NULL) : NULL;
        view_read((const char *)whole, len, mime ? mime->decode : NULL, true, &view);
        for (size_t i = 0; i < view.attachment_count && result == 0; i++)
                result = save(into, folder, &view.attachments[i], i + 1, saved, cause);
        view_done(&view);
        return result;
}
