/* SPDX-License-Identifier: MIT */
/* The index of senders: an array in order of kind, word and name of the account; see senders.h. What comes
 * while nobody asks is put in order by the next question. */
#include "daemon/accounts/senders.h"

#include "common/names.h"

#include <stdio.h>
#include <strings.h>

enum word_kind { WORD_SENDS_FOR, WORD_OWN };

struct sender_word {
        enum word_kind kind;
        char *word; /* address, or domain */
        struct account *account;
};

/* Words are owned by the index; accounts are not, and leave it before they are freed (senders_remove). */
static struct {
        struct sender_word *items;
        size_t count, size;
        bool sorted;
} words;

/* The name of the account last: of several accounts with the same word the first by name is found, always
 * the same one. */
static int compare(const void *a, const void *b)
{
        const struct sender_word *one = a, *other = b;
        int order = one->kind != other->kind ? (one->kind < other->kind ? -1 : 1)
                                             : strcasecmp(one->word, other->word);

        return order ? order : strcmp(one->account->name, other->account->name);
}

/* The first that is not before this kind and word. */
static size_t place_of(enum word_kind kind, const char *word, const char *account)
{
        struct account named = { .name = (char *)(uintptr_t)account };
        struct sender_word key = { kind, (char *)(uintptr_t)word, &named };
        size_t from = 0, to = words.count;

        while (from < to) {
                size_t middle = from + (to - from) / 2;
                if (compare(&words.items[middle], &key) < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

/* While sorted an insertion moves what is behind it; thousands of accounts at start are appended instead
 * and sorted once. */
static void put(enum word_kind kind, char *word, struct account *account)
{
        size_t at = words.sorted ? place_of(kind, word, account->name) : words.count;

        if (words.count == words.size) {
                words.size = words.size ? 2 * words.size : 64;
                words.items = new_resized(words.items, words.size, sizeof *words.items);
        }
        memmove(&words.items[at + 1], &words.items[at], (words.count - at) * sizeof *words.items);
        words.items[at] = (struct sender_word){ kind, word, account };
        words.count++;
}

static void put_in_order(void)
{
        if (!words.sorted && words.count)
                qsort(words.items, words.count, sizeof *words.items, compare);
        words.sorted = true;
}

/* Each word of an account, as the index has it; `each` takes the text over. */
static void each_word(struct account *account,
                      void (*each)(enum word_kind kind, char *word, struct account *account))
{
        const char *own = prop_own_address(&account->values);

        if (!account_is_outgoing(account))
                return;
        for (const char *at = prop_text(&account->values, PROP_SENDS_FOR); *at;) {
                size_t len = strcspn(at, ",");
                if (len)
                        each(WORD_SENDS_FOR, copy_bytes(at, len), account);
                at += len + (at[len] == ',');
        }
        if (own[0])
                each(WORD_OWN, address_on_wire(own), account);
}

/* An unreadable account sends for nobody. */
void senders_add(struct account *account)
{
        if (!account->unreadable)
                each_word(account, put);
}

static void take_away(enum word_kind kind, char *word, struct account *account)
{
        size_t at = place_of(kind, word, account->name);

        if (at < words.count && words.items[at].account == account && words.items[at].kind == kind) {
                free(words.items[at].word);
                words.count--;
                memmove(&words.items[at], &words.items[at + 1], (words.count - at) * sizeof *words.items);
        }
        free(word);
}

/* Before its properties change: the words to be taken away are computed from them. */
void senders_remove(const struct account *account)
{
        if (words.count == 0 || !account_is_outgoing(account))
                return;
        put_in_order();
        each_word((struct account *)(uintptr_t)account, take_away);
}

void senders_close(void)
{
        for (size_t i = 0; i < words.count; i++)
                free(words.items[i].word);
        free(words.items);
        memset(&words, 0, sizeof words);
}

/* By way of "" as account, which is before every name. */
static struct account *find(enum word_kind kind, const char *word)
{
        put_in_order();
        size_t at = place_of(kind, word, "");
        bool found = at < words.count && words.items[at].kind == kind &&
                     strcasecmp(words.items[at].word, word) == 0;

        return found ? words.items[at].account : NULL;
}

/* The whole address goes before its domain. */
struct account *senders_named(const char *sender)
{
        const char *at = strrchr(sender, '@');
        struct account *account = find(WORD_SENDS_FOR, sender);

        return account || !at ? account : find(WORD_SENDS_FOR, at + 1);
}

struct account *senders_own(const char *sender)
{
        return find(WORD_OWN, sender);
}
