/* SPDX-License-Identifier: MIT */
/* The words of heartbeats that are out, under a lock; see own_mail.h. */
#include "daemon/store/own_mail.h"

#include <pthread.h>
#include <stdio.h>

struct sent {
        char *account;
        char tokens[2][OWN_MAIL_TOKEN + 1]; /* the newest first; "": none */
        struct sent *next;
};
static struct sent *all; /* one for each account that has sent any */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct sent **place_of(const char *account)
{
        struct sent **place = &all;

        while (*place && strcmp((*place)->account, account) != 0)
                place = &(*place)->next;
        return place;
}

void own_mail_expect(const char *account, const char *token)
{
        pthread_mutex_lock(&lock);
        struct sent **place = place_of(account);
        if (!*place) {
                *place = new_object(struct sent);
                (*place)->account = copy_text(account);
        }
        if (strcmp((*place)->tokens[0], token) != 0) {
                memcpy((*place)->tokens[1], (*place)->tokens[0], sizeof(*place)->tokens[0]);
                (void)snprintf((*place)->tokens[0], sizeof(*place)->tokens[0], "%s", token);
        }
        pthread_mutex_unlock(&lock);
}

void own_mail_forget(const char *account)
{
        pthread_mutex_lock(&lock);
        struct sent **place = place_of(account), *gone = *place;
        if (gone) {
                *place = gone->next;
                free(gone->account);
                free(gone);
        }
        pthread_mutex_unlock(&lock);
}

void own_mail_close(void)
{
        while (all)
                own_mail_forget(all->account);
}

static bool carries(const char *text, const char *token)
{
        return text && token[0] && strstr(text, token);
}

char *own_mail_of(const char *message_id, const char *subject, bool *newest)
{
        char *account = NULL;

        pthread_mutex_lock(&lock);
        for (const struct sent *sent = all; sent && !account; sent = sent->next)
                for (int i = 0; i < 2 && !account; i++)
                        if (carries(message_id, sent->tokens[i]) || carries(subject, sent->tokens[i])) {
                                account = copy_text(sent->account);
                                *newest = i == 0;
                        }
        pthread_mutex_unlock(&lock);
        return account;
}

bool own_mail_is(const char *message_id, const char *subject)
{
        bool newest;
        char *account = own_mail_of(message_id, subject, &newest);

        free(account);
        return account != NULL;
}
