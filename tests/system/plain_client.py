# SPDX-License-Identifier: MIT
"""A mailbox as any other client sees it, byte for byte, by Python's library. A server of the tests that has this as its
base has `host()`, `port(transport, security)`, and one password for every mailbox."""

import imaplib
import poplib
import ssl
import time

import letters


def anyone():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Mailboxes:
    def imap(self, box):
        """A signed-in IMAP client in INBOX."""
        client = imaplib.IMAP4_SSL(self.host(), self.port("imap", "ssl"), ssl_context=anyone(), timeout=10)
        client.login(self.user(box), letters.PASSWORD)
        client.select("INBOX")
        return client

    def user(self, box):
        """The name to sign in with."""
        return box

    def messages(self, box):
        """The messages of a mailbox as the server holds them: [(flags, bytes)]."""
        client = self.imap(box)
        found = []
        numbers = client.uid("search", "ALL")[1][0].split()     # by UID: others may delete meanwhile
        if numbers:
            client.select("INBOX", readonly=True)
            for part in client.uid("fetch", b",".join(numbers), "(FLAGS BODY.PEEK[])")[1]:
                if isinstance(part, tuple):
                    found.append((imaplib.ParseFlags(part[0]), part[1]))
        client.logout()
        return found

    def copies(self, transport, box):
        """The contents alone, as that protocol gives them."""
        if transport == "imap":
            return [content for _, content in self.messages(box)]
        client = poplib.POP3_SSL(self.host(), self.port("pop3", "ssl"), context=anyone(), timeout=10)
        if "UTF8" in client.capa():     # else Courier wraps what needs it (RFC 6856)
            client.utf8()
        client.user(self.user(box))
        client.pass_(letters.PASSWORD)
        found = [self._retrieve(client, number + 1) for number in range(client.stat()[0])]
        client.quit()
        return found

    @staticmethod
    def _retrieve(client, number):
        """poplib's own retr() alters lone CRs and gives up at long lines."""
        client._shortcmd(f"RETR {number}")
        lines, starts = [], True
        while True:
            line = client.file.readline()
            assert line, "cut off"
            if starts and line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if starts and line.startswith(b".") else line)
            starts = line.endswith(b"\r\n")

    def append(self, box, messages):
        """Puts in those of the messages that the server takes by IMAP; how many."""
        client = self.imap(box)
        taken = 0
        for message in messages:
            try:
                taken += client.append("INBOX", None, imaplib.Time2Internaldate(time.time()), message)[0] == "OK"
            except imaplib.IMAP4.abort:     # it hung up
                client = self.imap(box)
            except imaplib.IMAP4.error:
                pass
        client.logout()
        return taken
