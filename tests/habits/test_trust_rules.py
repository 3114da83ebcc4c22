"""An index: each rule about channel, identity and exemptions with the tests that show it. A rule without a test, or a
test that has gone, fails here. Numbers 1 to 18 are the rules of trust, S1 to S17 what went wrong in other mail programs
that use TLS."""
import os
import re

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# rule: (what it is about, tests as "file without test_ and ending: names")
RULES = {
    "1": ("TLS at once, STARTTLS, or none as the account says",
          "matrix.py: signed_by_the_system_root plain_text_on_a_tls_port tls_on_a_plain_port"),
    "2": ("STARTTLS is never optional", "matrix.py: starttls_attacked cut_off_is_down_and_says_nothing; "
          "cuts.py: starttls_cut_at_every_byte starttls_reset_at_every_byte; engine.c: no_other_command_before_tls"),
    "3": ("bytes beyond the go-ahead end the session; what was learnt in clear is forgotten",
          "channel.py: injection_split_in_every_way capabilities_from_before_tls_are_forgotten; "
          "engine.c: a_byte_beyond_the_go_ahead_is_an_attack"),
    "4": ("PREAUTH under STARTTLS", "matrix.py: preauth_under_starttls"),
    "5": ("versions, suites, renegotiation", "channel.py: old_tls_is_refused_unless_the_floor_is_lowered "
          "suites_that_protect_nothing renegotiation_is_refused; channel.c: old_server weak_key_with_lowered_floor"),
    "6": ("SNI, ALPN, an end without close_notify", "channel.py: truncation_is_never_an_end; "
          "cuts.py: tls_cut_at_every_byte tls_after_starttls_cut_at_every_byte; "
          "tls_cuts.py: the_stream_ends_within_the_ciphertext; channel.c: alpn_refused_then_left_out"),
    "7": ("session tickets die with what was decided", "trust_life.py: resumption_never_revives_a_decision; "
          "channel.c: tickets trust_changes_meanwhile"),
    "8": ("chain, purpose, time and name", "certificates.py: every_case every_case_everywhere openssl_agrees"),
    "9": ("all errors are told, with what to do", "certificates.py: every_case; judge.c: every_problem words"),
    "10": ("stapled answers and revocation lists", "certificates.py: every_case; channel.c: staples revocation_lists"),
    "11": ("what no exemption heals is a fault", "certificates.py: every_case; matrix.py: weak_certificates_are_faults "
           "wrong_purpose_is_a_fault; channel.c: weak_and_broken_signatures"),
    "12": ("a challenge waits, and nobody for it", "trust.py: a_challenge_holds_the_mail_and_stops_nobody_else; "
           "matrix.py: challenge_accept_pass"),
    "13": ("one challenge a certificate, eight a place", "trust.py: the_same_certificate_raises_one_challenge "
           "challenges_of_one_place_are_bounded; allowed.c: flood bound_in_all"),
    "14": ("an approval covers exactly what it names", "trust.py: an_approval_is_for_this_certificate_only "
           "an_approval_is_for_this_port_only a_pinned_key_survives_a_renewal; "
           "allowed.c: new_error_is_a_challenge_again changed_certificate; trust_life.py: two_accounts_share_the_entry "
           "changed_is_shown_line_by_line"),
    "14a": ("verified before and not now: regression", "trust.py: regression_is_told"),
    "14b": ("a fingerprint is the answer, never yes", "trust.py: the_wrong_fingerprint_approves_nothing "
            "accept_by_place_short_id_and_16_digits; allowed.c: fingerprints"),
    "15": ("an exemption ends on time, sessions too", "trust.py: an_exemption_in_time; "
           "trust_life.py: the_end_of_an_exemption_ends_the_session an_end_that_cannot_be "
           "an_end_is_the_same_in_every_time_zone; clock.py: an_exemption_ends_with_the_clock "
           "an_exemption_ends_for_a_session_in_progress; allowed.c: expiry"),
    "16": ("needless exemptions are marked and pruned", "trust.py: the_whole_procedure_on_real_servers; "
           "allowed.c: needless_and_prune"),
    "17": ("importing anchors", "trust.py: import_forms private_keys_and_rubbish_are_refused "
           "what_cannot_be_an_anchor_is_refused anchors_are_effective_at_once; trust.c: import_bundle import_refused"),
    "18": ("a decision is on disk and names who made it", "trust.py: decisions_survive_a_restart_and_name_who; "
           "trust_life.py: every_decision_is_kept; allowed.c: disk_fails"),
    "S1": ("response injection", "channel.py: injection_split_in_every_way; matrix.py: starttls_attacked"),
    "S2": ("knowledge from the clear", "channel.py: capabilities_from_before_tls_are_forgotten"),
    "S3": ("PREAUTH", "matrix.py: preauth_under_starttls"),
    "S4": ("stripping", "matrix.py: starttls_attacked; engine.c: no_other_command_before_tls"),
    "S5": ("a success that was faked", "matrix.py: starttls_attacked; imap_session.c: tags_cannot_be_guessed"),
    "S6": ("pipelining past STARTTLS (nobody connects to the station: the client's side is all there is)",
           "engine.c: nothing_is_said_between_go_ahead_and_handshake"),
    "S7": ("hanging at STARTTLS", "matrix.py: cut_off_is_down_and_says_nothing; cuts.py: starttls_cut_at_every_byte"),
    "S8": ("a verification that is not looked at", "certificates.py: every_case_everywhere; "
           "matrix.py: nothing_is_said_to_an_unjudged_server"),
    "S9": ("NUL and IDN in names", "certificates.py: every_case; channel.c: bad_names"),
    "S10": ("showing a certificate", "certificate.c: hostile_names mangled"),
    "S11": ("exemptions too wide", "trust.py: an_approval_is_for_this_certificate_only an_approval_is_for_this_port_only"),
    "S12": ("a rejection that is forgotten", "trust.py: reject_is_durable; allowed.c: rejection_is_durable"),
    "S13": ("a challenge that leaks", "certificates.py: every_case; matrix.py: nothing_is_said_to_an_unjudged_server"),
    "S14": ("a flood of challenges", "trust.py: challenges_of_one_place_are_bounded; allowed.c: flood"),
    "S15": ("sessions that outlive the decision", "trust_life.py: the_end_of_an_exemption_ends_the_session "
            "a_root_that_is_deleted_ends_its_sessions resumption_never_revives_a_decision"),
    "S16": ("another protocol's server", "channel.c: alpn_refused_then_left_out"),
    "S17": ("renegotiation", "channel.py: renegotiation_is_refused"),
}

# The same for what is around the decision: the life of an exemption, the stores, the watch.
LIFE = {
    "scope": ("trust.py: an_approval_is_for_this_certificate_only an_approval_is_for_this_port_only"),
    "changed": ("trust_life.py: changed_is_shown_line_by_line; allowed.c: changed_certificate"),
    "regression": ("trust.py: regression_is_told; ctl.py: regression_is_plain"),
    "a new error of the same certificate": ("allowed.c: new_error_is_a_challenge_again"),
    "a pinned key": ("trust.py: a_pinned_key_survives_a_renewal"),
    "a rejection": ("trust.py: reject_is_durable; allowed.c: rejection_is_durable"),
    "a flood": ("trust.py: challenges_of_one_place_are_bounded; allowed.c: flood bound_in_all"),
    "a shared entry": ("trust_life.py: two_accounts_share_the_entry"),
    "what ended ends sessions and tickets": (
        "trust_life.py: the_end_of_an_exemption_ends_the_session a_root_that_is_deleted_ends_its_sessions "
        "resumption_never_revives_a_decision; channel.c: tickets trust_changes_meanwhile"),
    "needless": ("trust.py: the_whole_procedure_on_real_servers a_challenge_ends_with_its_cause "
                 "a_challenge_goes_with_its_account; allowed.c: needless_and_prune healed servers_that_nobody_uses; "
                 "judge.c: healed_chain_needs_no_exemption"),
    "who decided, and the history": (
        "trust.py: decisions_survive_a_restart_and_name_who; trust_life.py: every_decision_is_kept "
        "the_history_is_bounded; allowed_history.c: the_first_and_the_newest_stay damage_is_told"),
    "forms of an import": ("trust.py: import_forms; trust.c: import_bundle import_der_and_pkcs7"),
    "what is no anchor": ("trust.py: private_keys_and_rubbish_are_refused what_cannot_be_an_anchor_is_refused"),
    "the System Trust Store read again": (
        "trust.py: system_trust_is_read_again_on_reload; trust_life.py: a_system_store_file_is_read_again "
        "a_system_store_folder_is_read_again; trust_watch.c: a_file_that_a_link_stands_for the_places_of_openssl"),
    "a store that cannot be read": ("trust_life.py: a_store_that_breaks_fails_closed_and_heals; "
                                    "trust.c: poisoned_user_store; judge.c: poisoned_store_condemns_everything"),
    "an issuer taken from a server": ("trust_life.py: import_from_a_server a_server_that_keeps_its_issuer_back"),
    "client certificates": (
        "trust_life.py: keys_are_stored_listed_and_deleted a_key_with_a_passphrase a_key_in_legacy_encryption "
        "a_server_that_demands_a_certificate; client_certificates.py: dovecot_demands_a_certificate "
        "postfix_demands_a_certificate; keys.c: a_disk_that_fails_changes_nothing a_broken_file_is_a_fault_of_its_own"),
    "certificates about to end": ("trust_life.py: warnings_before_a_certificate_ends "
                                  "the_certificates_of_all_servers_are_listed; "
                                  "server_certificates.c: warns_once_for_each_day_of_the_setting"),
    "test, probe and audit": ("trust_life.py: account_test_shows_everything "
                              "a_step_that_failed_has_its_time_and_its_command audit_has_a_verdict_on_each"),
}
INDEX = {**RULES, **{name: (name, tests) for name, tests in LIFE.items()}}


def test_every_rule_is_here():
    wanted = [str(n) for n in range(1, 19)] + ["14a", "14b"] + [f"S{n}" for n in range(1, 18)]
    assert sorted(RULES) == sorted(wanted)


@pytest.mark.parametrize("rule", INDEX)
def test_rule_has_its_tests(rule):
    for part in INDEX[rule][1].split(";"):
        file, names = part.strip().split(":")
        python = file.endswith(".py")
        with open(os.path.join(TOP, "tests", "system" if python else "unit", "test_" + file), encoding="utf-8") as source:
            text = source.read()
        form = r"^def test_%s\(" if python else r"^START_TEST\(%s\)"
        missing = [name for name in names.split() if not re.search(form % name, text, flags=re.M)]
        assert not missing, f"{INDEX[rule][0]}: {file} has no {missing}"
