/* SPDX-License-Identifier: MIT */
/* The rules of fileInto; see file_rules.h. */
#include "common/file_rules.h"

#include "common/buf.h"

#include <stdio.h>
#include <strings.h>

enum { WORDS = 3, VALUE_MOST = 2048 }; /* bytes of a field's value that are looked at */

void file_rules_done(struct file_rules *rules)
{
        for (size_t i = 0; i < rules->count; i++) {
                free(rules->rules[i].field);
                free(rules->rules[i].text);
        }
        free(take(rules->rules));
        rules->count = 0;
}

/* ---- reading ---- */

static int bad(struct cause *cause, size_t number, const char *what, const char *word)
{
        (void)cause_about(cause, CAUSE_INVALID, "fileInto", "rule %zu of fileInto: %s%s%s%s", number, what,
                          word ? " \"" : "", word ? word : "", word ? "\"" : "");
        cause_remedy(
                cause,
                "three words a rule, rules parted by semicolons: sender|subject|header TEXT FOLDER, such as "
                "fileInto='subject \"pump 7\" Pumps; header X-Priority:1 Urgent'");
        return -1;
}

/* The next word at *at, without its quotation marks; NULL: there is none, or (*open) its quotation mark is
 * not closed. */
static char *next_word(const char **at, bool *open)
{
        const char *from = *at + strspn(*at, " \t");
        struct buf word = BUF_WITH_MAX(strlen(from) + 1);
        bool quoted = *from == '"', closed = !quoted;

        *open = false;
        *at = from;
        if (!*from || *from == ';')
                return NULL;
        for (from += quoted; *from && (quoted ? *from != '"' : !strchr(" \t;", *from)); from++) {
                from += quoted && from[0] == '\\' && from[1];
                if (buf_append(&word, from, 1) < 0)
                        abort(); /* within its bound: as new_object */
        }
        if (quoted && *from == '"') {
                closed = true;
                from++;
        }
        *at = from;
        *open = !closed;
        char *text = buf_take_text(&word);
        return text;
}

/* "Pumps/Seven" as Maildir++ has it. -1: it is none. */
static int read_folder(const char *name, char folder[FILE_FOLDER_SIZE])
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/ ";
        size_t len = strlen(name);

        folder[0] = '\0';
        if (strcasecmp(name, "INBOX") == 0)
                return 0;
        if (len == 0 || len + 2 > FILE_FOLDER_SIZE || name[strspn(name, letters)] || strchr("/ ", name[0]) ||
            strchr("/ ", name[len - 1]) || strstr(name, "//"))
                return -1;
        (void)snprintf(folder, FILE_FOLDER_SIZE, ".%s", name);
        for (char *at = folder; (at = strchr(at, '/'));)
                *at = '.';
        return 0;
}

/* "NAME:TEXT" of a header; the name as RFC 5322 has it. */
static int read_header(char *word, struct file_rule *rule)
{
        char *colon = strchr(word, ':');

        if (!colon || colon == word)
                return -1;
        for (const char *at = word; at < colon; at++)
                if (*at <= ' ' || *at >= 0x7f)
                        return -1;
        rule->field = copy_bytes(word, (size_t)(colon - word));
        rule->text = copy_text(colon + 1 + strspn(colon + 1, " "));
        return 0;
}

static int take_words(char *const words[WORDS], struct file_rule *rule, size_t number, struct cause *cause)
{
        static const struct {
                const char *word, *field;
        } kinds[] = { { "sender", "From" }, { "subject", "Subject" }, { "header", NULL } };
        size_t kind = 0;

        while (kind < count_of(kinds) && strcmp(kinds[kind].word, words[0]) != 0)
                kind++;
        if (kind == count_of(kinds))
                return bad(cause, number, "the first word is sender, subject or header, and not", words[0]);
        if (kinds[kind].field) {
                rule->field = copy_text(kinds[kind].field);
                rule->text = copy_text(words[1]);
        } else if (read_header(words[1], rule) < 0) {
                return bad(cause, number, "header takes NAME:TEXT, and not", words[1]);
        }
        if (!rule->text[0] && kinds[kind].field)
                return bad(cause, number, "its text is empty", NULL);
        if (read_folder(words[2], rule->folder) < 0)
                return bad(cause, number,
                           "a folder has a name of letters, digits, blank, - and _, of at most 70 bytes, "
                           "with / between a "
                           "folder and one in it, and not",
                           words[2]);
        return 0;
}

static int read_rule(const char **at, struct file_rule *rule, size_t number, struct cause *cause)
{
        char *words[WORDS + 1] = { NULL };
        size_t count = 0;
        bool open = false;
        int result = 0;

        while (count <= WORDS && !open && (words[count] = next_word(at, &open)))
                count++;
        if (open)
                result = bad(cause, number, "a quotation mark is not closed", NULL);
        else if (count != WORDS)
                result = bad(
                        cause, number,
                        count < WORDS
                                ? "it has fewer than three words"
                                : "it has more than three words: text with blanks stands in quotation marks",
                        NULL);
        else
                result = take_words(words, rule, number, cause);
        for (size_t i = 0; i <= WORDS; i++)
                free(words[i]);
        return result;
}

int file_rules_parse(const char *text, struct file_rules *out, struct cause *cause)
{
        int result = 0;

        *out = (struct file_rules){ 0 };
        while (result == 0 && text[strspn(text, " \t;")]) {
                text += strspn(text, " \t;");
                if (out->count == LIMIT_FILE_RULES) {
                        result = bad(cause, out->count + 1, "there are too many", NULL);
                        break;
                }
                out->rules = new_resized(out->rules, out->count + 1, sizeof *out->rules);
                out->rules[out->count] = (struct file_rule){ 0 };
                result = read_rule(&text, &out->rules[out->count], out->count + 1, cause);
                out->count++;
        }
        if (result < 0)
                file_rules_done(out);
        return result;
}

/* ---- looking ---- */

static size_t line_length(const char *bytes, size_t len)
{
        const char *lf = memchr(bytes, '\n', len);

        return lf ? (size_t)(lf - bytes) + 1 : len;
}

struct field {
        const char *name;
        size_t name_len;
        struct buf value; /* with the lines that continue it */
};

/* The value's lines, without their ends: the blanks that continue it stay. */
static void unfold(const char *bytes, size_t len, struct buf *value)
{
        buf_clear(value);
        for (size_t i = 0; i < len && value->len < value->max; i++)
                if (bytes[i] != '\r' && bytes[i] != '\n' && buf_append(value, &bytes[i], 1) < 0)
                        abort(); /* within its bound: as new_object */
}

/* The next one at *at. False at the end of the header. */
static bool next_field(const char *head, size_t len, size_t *at, struct field *out)
{
        const char *field = head + *at;

        if (*at >= len || *field == '\n' || *field == '\r')
                return false;
        size_t line = line_length(field, len - *at);
        const char *colon = memchr(field, ':', line);
        out->name = field;
        out->name_len = colon ? (size_t)(colon - field) : 0;
        while (out->name_len && (field[out->name_len - 1] == ' ' || field[out->name_len - 1] == '\t'))
                out->name_len--;
        size_t from = colon ? (size_t)(colon - field) + 1 : 0, end = line;
        while (*at + end < len && (field[end] == ' ' || field[end] == '\t'))
                end += line_length(field + end, len - *at - end);
        unfold(field + from, end - from, &out->value);
        *at += end;
        return true;
}

static bool holds(const struct buf *value, const char *text)
{
        size_t len = strlen(text);
        const char *bytes = (const char *)buf_bytes(value);

        for (size_t i = 0; i + len <= value->len; i++)
                if (len == 0 || strncasecmp(bytes + i, text, len) == 0)
                        return true;
        return len == 0;
}

const char *file_rules_folder(const struct file_rules *rules, const char *head, size_t len)
{
        struct field field = { .value = BUF_WITH_MAX(VALUE_MOST) };
        size_t first = rules->count;

        for (size_t at = 0; first && next_field(head, len, &at, &field);)
                for (size_t i = 0; i < first; i++)
                        if (strlen(rules->rules[i].field) == field.name_len &&
                            strncasecmp(rules->rules[i].field, field.name, field.name_len) == 0 &&
                            holds(&field.value, rules->rules[i].text))
                                first = i;
        buf_free(&field.value);
        return first < rules->count ? rules->rules[first].folder : "";
}

char *file_folder_name(const char *folder)
{
        char *name = copy_text(folder[0] == '.' ? folder + 1 : folder);

        for (char *at = name; (at = strchr(at, '.'));)
                *at = '/';
        return name;
}
