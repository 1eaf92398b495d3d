"""Three texts for every Reason: what happened, the remedy for the other side, and the remedy for the administrator.

`what` and `remedy` leave the bank (SMTP replies, bounces, answers of the API). They name no host, path, command,
library or setting. `admin` is for the CLI, `check`, `trace` and the daily report: it names commands and
settings that exist.
All are ASCII: SMTP replies carry them (RFC 5321 4.2). tests/architecture/test_reasons.py holds these rules. The first
two in other languages, for mails to people, are in letters/templates/LANGUAGE/reasons.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway import languages
from gateway.errors import Reason


@dataclass(frozen=True, slots=True)
class Sentence:
    """Full sentences in the active voice. Commands and settings in `admin` are in backquotes."""

    what: str
    remedy: str
    admin: str


_R = Reason

SENTENCES: Mapping[Reason, Sentence] = MappingProxyType({
    _R.INPUT_EMPTY: Sentence(
        "The input is empty.",
        "Check how the file or message was transferred, then send it again.",
        "Check that the file or message was transferred completely, then run the command again."),
    _R.INPUT_MALFORMED: Sentence(
        "The input breaks the rules of its format.",
        "Correct the input, or report the fault to the vendor of the program that wrote it.",
        "Correct the named place in the input. For a mail, certificate or signature `sealgate inspect FILE` shows the "
        "structure."),
    _R.INPUT_NOT_RECOGNISED: Sentence(
        "The gateway does not recognise the format of the file.",
        "Send a message, a certificate, a signature, a time-stamp or revocation data.",
        "Check that this is the right file. `sealgate inspect FILE` shows its content, and `sealgate inspect --help` "
        "lists the formats."),
    _R.INPUT_TOO_LARGE: Sentence(
        "The input is larger than the limit.",
        "Split the input and send it in several parts.",
        "Split the input. `api.body_octets_max` limits a request to the API; the limits for files are fixed."),
    _R.INPUT_LIMIT_EXCEEDED: Sentence(
        "The input is nested too deeply, or has too many parts, header fields or addresses.",
        "Send it with fewer parts, header fields or addresses.",
        "Ask the sender for a message of simpler structure. `sealgate inspect FILE` shows its structure; the limits "
        "are fixed."),
    _R.INPUT_KIND_NOT_JUDGED: Sentence(
        "The gateway recognises this format but does not verify it.",
        "Verify it with a program made for this format.",
        "Verify it with another program. `sealgate inspect --help` lists the formats that Sealgate verifies."),
    _R.INPUT_UNREADABLE: Sentence(
        "The gateway cannot read the input.",
        "Check that the input exists and that the gateway has the right to read it.",
        "Check the path, the owner and the mode of the named file, and that its content has the expected format."),
    _R.INPUT_PASSWORD_WRONG: Sentence(
        "The password does not decrypt the file.",
        "Use the correct password.",
        "Correct the password. For a key of the settings it is the first line of the file in "
        "`keys[].passphrase_file`."),
    _R.MAIL_BARE_NEWLINE: Sentence(
        "The message contains a line end other than CR LF.",
        "Configure the sending program to end each line with CR LF.",
        "Correct the sending program, or set `clients[].normalise_newlines` for this client."),
    _R.MAIL_NUL: Sentence(
        "The message contains a NUL octet.",
        "Encode binary content in base64.",
        "Ask the operator of the sending program to encode binary content in base64."),
    _R.MAIL_LINE_TOO_LONG: Sentence(
        "The message contains a line of more than 65536 octets.",
        "Encode the content in base64 or quoted-printable.",
        "Ask the operator of the sending program to encode long lines in base64 or quoted-printable."),
    _R.MAIL_FIELD_TOO_LONG: Sentence(
        "A header field has more than 998 octets without a space at which the line may be folded.",
        "Shorten the field, or put spaces between its parts.",
        "Ask the operator of the sending program to shorten the field. `sealgate inspect FILE` shows the header."),
    _R.MAIL_TOO_LARGE: Sentence(
        "The message is larger than the limit.",
        "Send smaller attachments, or split the message.",
        "Ask the sender for a smaller message, or raise `limits.message_octets_max`."),
    _R.MAIL_LOOP: Sentence(
        "The message is in a mail loop.",
        "Ask the postmaster to check the forwarding of these addresses.",
        "Check the aliases and the forwarding of these addresses, and `next_hops`. `limits.hops_max` sets the limit."),
    _R.MAIL_MALFORMED: Sentence(
        "The sending program produced an invalid message.",
        "Send it again from another mail client, or report this to the vendor of the sending program.",
        "Report the fault to the vendor of the sending program. `sealgate trace INCIDENT` shows the broken rule."),
    _R.MAIL_FIELD_REPEATED: Sentence(
        "The message repeats a header field that may occur only once.",
        "Send it with one Date, From, To, Cc, Subject, Sender and Reply-To field each.",
        "Ask the sender to send it again with one field each. `sealgate inspect FILE` shows the header."),
    _R.MAIL_AMBIGUOUS: Sentence(
        "The header declares the content type or the encoding more than once, so programs read the message "
        "differently.",
        "Send the message again with one Content-Type and one Content-Transfer-Encoding field.",
        "Ask the sender to send it again with one field each. `sealgate inspect FILE` shows the header."),
    _R.MAIL_DEADLINE: Sentence(
        "The gateway could not process the message in time.",
        "Send it again later.",
        "Find the slow dependency: `sealgate check` shows how long stampers, sources and next hops take. "
        "`limits.message_deadline_s` sets the time limit."),
    _R.CLIENT_UNKNOWN: Sentence(
        "This server does not accept messages from this client.",
        "Ask the bank's postmaster to register the client.",
        "Add the client to `clients` with its network, TLS certificate or login, then run `sealgate reload`."),
    _R.CLIENT_FROM_NOT_ALLOWED: Sentence(
        "This client may not use this sender address.",
        "Use a sender address that is registered for this client, or ask the bank's postmaster to register this one.",
        "Correct the address in the sending system, or add it to `clients[].from` and run `sealgate reload`."),
    _R.CLIENT_AUTH_REQUIRED: Sentence(
        "This server requires authentication.",
        "Log in first.",
        "Configure a login in the client, or add its network to `clients[].networks`."),
    _R.CLIENT_AUTH_FAILED: Sentence(
        "The authentication failed.",
        "Check the user name and the password.",
        "Check the user name with `sealgate client list`. Set a new password with `sealgate client add LOGIN`."),
    _R.CLIENT_TLS_REQUIRED: Sentence(
        "This server requires an encrypted connection.",
        "Use STARTTLS first.",
        "Configure TLS in the client. `listeners[].tls_required` makes it mandatory."),
    _R.CLIENT_RATE_EXCEEDED: Sentence(
        "The client exceeded its rate limit.",
        "Send fewer messages or requests per minute.",
        "Check the client for a fault, or raise `limits.messages_per_minute_per_client_max`, "
        "`api.requests_per_minute_max` or `http.requests_per_minute_max`."),
    _R.CLIENT_BUSY: Sentence(
        "The server is busy.",
        "Send it again later.",
        "Check the load. `limits.connections_max`, `limits.workers_max` and `limits.octets_in_flight_max` set the "
        "limits, `processes.relay` the number of processes."),
    _R.RECIPIENT_NOT_OURS: Sentence(
        "This server does not accept messages for this recipient from this client.",
        "Send it to the mail server of the recipient's domain.",
        "Add the domain to `bank.domains` if it belongs to the bank, or the client to `clients` if it may relay."),
    _R.RECIPIENT_ADDRESS_REFUSED: Sentence(
        "This server does not accept this form of address.",
        "Use the plain address of the recipient, such as name@example.com.",
        "Correct the address in the sending system. Source routes and addresses such as user%domain@relay are "
        "rejected."),
    _R.RECIPIENT_UNKNOWN: Sentence(
        "The mail server of the recipient does not know this address.",
        "Check the address.",
        "Check the mailbox at the next hop. `listeners[].recipient_check` makes the gateway ask it."),
    _R.RECIPIENT_TOO_MANY: Sentence(
        "The message has more recipients than the limit.",
        "Send the message to the remaining recipients separately.",
        "Usually no action is needed: the client sends the rest in a further transaction. `limits.recipients_max` "
        "sets the limit."),
    _R.RECIPIENT_OTHER_CUSTOMER: Sentence(
        "The address or its certificate belongs to another customer.",
        "Correct the address, or ask the bank to register it for this customer.",
        "Compare `sealgate customer show NUMBER` with `sealgate cert list --address ADDRESS`, then correct the "
        "register or the source."),
    _R.FROM_MISSING: Sentence(
        "The header of the message has no From field.",
        "Add a From field. A line that is not a header field, such as HELO or a byte order mark, ends the header.",
        "Correct the sending program. `sealgate inspect FILE` shows where the header ends."),
    _R.FROM_AMBIGUOUS: Sentence(
        "The From field does not contain exactly one mail address.",
        "Use one From address, such as name@example.com.",
        "Correct the From field in the sending program. `sealgate trace INCIDENT` shows the client."),
    _R.FROM_MISMATCH: Sentence(
        "The certificate of the signer does not contain the From address.",
        "Sign with the certificate of the From address.",
        "Ask the sender to sign with the certificate of the From address. `sealgate inspect FILE` shows both "
        "addresses."),
    _R.FROM_OUTER_DIFFERS: Sentence(
        "The outer From field differs from the protected From field.",
        "Use the same From address in both headers.",
        "Trust the protected From field only. Ask the sender whether a mailing list or a server changed the outer "
        "one."),
    _R.FROM_NOT_IN_CERTIFICATE: Sentence(
        "The signing certificate does not contain the From address.",
        "Use a From address that the certificate contains, or ask for a certificate with this address.",
        "Correct `keys[].from`, or request a certificate with this address: `sealgate key generate NAME --email "
        "ADDRESS --csr FILE`."),
    _R.FROM_NAME_MISLEADING: Sentence(
        "The display name in From contains an address other than the sender's.",
        "Use a display name without an address.",
        "Treat the message as possible phishing. `sealgate inspect FILE` shows the signer."),
    _R.POLICY_REJECTED: Sentence(
        "The policy of the bank rejected this message.",
        "Ask the bank's postmaster.",
        "Find the rule with `sealgate trace INCIDENT` or `sealgate policy explain MAIL --to ADDRESS`, then correct "
        "the message or the rule."),
    _R.POLICY_DEFERRED: Sentence(
        "Policy deferred this message.",
        "Try again later.",
        "Find the rule with `sealgate trace INCIDENT` or `sealgate policy explain MAIL --to ADDRESS`."),
    _R.POLICY_HELD: Sentence(
        "The bank holds this message until an operator releases it.",
        "The sender need not do anything.",
        "List held messages with `sealgate hold list`, then use `sealgate hold release ID` or `sealgate hold reject "
        "ID`."),
    _R.POLICY_QUARANTINED: Sentence(
        "The bank holds this message in quarantine for examination.",
        "The sender need not do anything.",
        "Examine it with `sealgate hold show ID`, then use `sealgate hold release ID` or `sealgate hold reject ID`."),
    _R.POLICY_NO_RULE: Sentence(
        "The policy has no rule that matches this message.",
        "Ask the bank's postmaster for a rule.",
        "Add a rule without conditions to the end of the last file in `policies`, then run `sealgate policy check` "
        "and `sealgate reload`."),
    _R.POLICY_FACT_UNAVAILABLE: Sentence(
        "The gateway cannot determine at present what the policy needs to know.",
        "Send it again later.",
        "See which lookup failed with `sealgate trace INCIDENT`. `sealgate check` tests all `sources`."),
    _R.POLICY_OTHER_RECIPIENT_REFUSED: Sentence(
        "The server did not deliver the message because it rejected another recipient of the same message.",
        "Send it again without that recipient.",
        "Correct the other recipient. With `partial: deliver_rest` the remaining recipients receive the message."),
    _R.CERTIFICATE_ABSENT: Sentence(
        "The bank has no certificate of the recipient.",
        "Ask the recipient for a certificate.",
        "Ask the recipient for a certificate and run `sealgate cert import FILE`. `sealgate cert find ADDRESS` shows "
        "the sources."),
    _R.CERTIFICATE_UNUSABLE: Sentence(
        "The bank can use none of the recipient's certificates.",
        "Ask the recipient for a new certificate.",
        "See the reason for each certificate with `sealgate cert find ADDRESS`, then import a new one: `sealgate "
        "cert import FILE`."),
    _R.CERTIFICATE_CONFLICT: Sentence(
        "Certificates of different owners contain this address.",
        "Ask the bank to bind the correct certificate to the customer.",
        "Compare them with `sealgate cert find ADDRESS`. Bind the correct one with `sealgate cert import FILE "
        "--customer NUMBER`, or use `sealgate cert distrust SHA256`."),
    _R.CERTIFICATE_UNAVAILABLE: Sentence(
        "The bank cannot look up the recipient's certificate at present.",
        "Send it again later.",
        "See which source fails with `sealgate cert find ADDRESS`. `sources` sets its address, deadline and "
        "password; `sealgate check` tests it."),
    _R.CERTIFICATE_EXPIRED: Sentence(
        "The certificate has expired.",
        "Ask its owner for a new certificate.",
        "Ask its owner for a new certificate and run `sealgate cert import FILE`. Replace a key of the bank with "
        "`sealgate key rollover NAME`."),
    _R.CERTIFICATE_NOT_YET_VALID: Sentence(
        "The certificate is not valid yet.",
        "Wait until the certificate is valid.",
        "Wait until it is valid, and check the clock of this machine. `sealgate cert show SHA256` shows the dates."),
    _R.CERTIFICATE_REVOKED: Sentence(
        "The issuer revoked the certificate.",
        "Ask its owner for a new certificate.",
        "Ask its owner for a new certificate and run `sealgate cert import FILE`."),
    _R.CERTIFICATE_ON_HOLD: Sentence(
        "The issuer of the certificate has put it on hold.",
        "Ask its owner to have the hold lifted, or for another certificate.",
        "Ask its owner for another certificate. When the hold is lifted, run `sealgate revocation refresh`."),
    _R.CERTIFICATE_WEAK_KEY: Sentence(
        "The key of the certificate is too short.",
        "Ask its owner for a certificate with a longer key.",
        "Ask its owner for a certificate with RSA of 3072 bits or P-256, then run `sealgate cert import FILE`."),
    _R.CERTIFICATE_WEAK_ALGORITHM: Sentence(
        "The signature of the certificate uses a broken algorithm.",
        "Ask its owner for a certificate that is signed with SHA-256 or better.",
        "Ask its owner for a certificate that is signed with SHA-256 or better, then run `sealgate cert import FILE`."),
    _R.CERTIFICATE_ALGORITHM_UNKNOWN: Sentence(
        "The gateway does not support the algorithm of the certificate.",
        "Ask its owner for a certificate with an RSA or elliptic curve key.",
        "Ask its owner for a certificate with RSA of 3072 bits or P-256. `sealgate inspect FILE` shows the algorithm."),
    _R.CERTIFICATE_WRONG_USAGE: Sentence(
        "The certificate does not permit this usage.",
        "Use a certificate that is issued for e-mail.",
        "Ask its owner for a certificate for e-mail. `sealgate inspect FILE` shows its key usages."),
    _R.CERTIFICATE_ADDRESS_MISMATCH: Sentence(
        "The certificate does not contain this address.",
        "Use a certificate that contains this address.",
        "Import the certificate of this address. `sealgate cert show SHA256` shows the addresses of this one."),
    _R.CERTIFICATE_NOT_ENROLLED: Sentence(
        "The certificate is not bound to a customer.",
        "Ask the bank to register the certificate for the customer.",
        "Bind it with `sealgate cert import FILE --customer NUMBER`."),
    _R.CERTIFICATE_DISTRUSTED: Sentence(
        "The bank has marked the certificate as not trusted.",
        "Use another certificate.",
        "Use another certificate. If the mark is a mistake, remove it with `sealgate cert trust SHA256 --forget`."),
    _R.CERTIFICATE_MALFORMED: Sentence(
        "The certificate breaks the rules of its format.",
        "Ask the issuer to issue the certificate again.",
        "Check the file with `sealgate inspect FILE`. If the certificate itself is wrong, ask the issuer to issue it "
        "again."),
    _R.CERTIFICATE_DISPLACED: Sentence(
        "A certificate that is bound to a customer takes precedence over this one.",
        "Ask the bank to bind this certificate to the customer.",
        "Bind this certificate, if it is the correct one: `sealgate cert import FILE --customer NUMBER`."),
    _R.CERTIFICATE_NOT_DEVICE_BOUND: Sentence(
        "The key of the certificate is not bound to a device.",
        "Enrol a certificate whose key cannot leave its device.",
        "Import a certificate whose key cannot leave its device: `sealgate cert import FILE --customer NUMBER "
        "--device-bound`."),
    _R.ESCROW_UNUSABLE: Sentence(
        "The gateway defers the message because it cannot use the bank's escrow certificate.",
        "Send it again later, and report this to the bank's postmaster.",
        "Renew the certificate in `escrow[].certificate`, then run `sealgate check` and `sealgate reload`."),
    _R.PATH_TRUST_ANCHOR_MISSING: Sentence(
        "No trust anchors are configured, so path validation is not possible.",
        "Ask the operator to configure trust anchors.",
        "Add root certificates to `trust.signers`, `trust.recipients` or `trust.stampers`; for one file use "
        "`sealgate inspect FILE --trust ROOTS`."),
    _R.PATH_ISSUER_MISSING: Sentence(
        "An intermediate certificate on the path to the trust anchor is missing.",
        "Enclose the intermediate certificates.",
        "Put the intermediate certificate into `trust.intermediates`, or permit its download with `fetch.enabled`."),
    _R.PATH_UNTRUSTED_ROOT: Sentence(
        "The certificate path does not lead to a trust anchor.",
        "Use a certificate of an issuer that the bank trusts.",
        "See `sealgate cert unknown`. If the bank trusts the issuer, add its root to `trust.signers` or "
        "`trust.recipients`."),
    _R.PATH_CONSTRAINT: Sentence(
        "An issuer on the path was not permitted to issue this certificate.",
        "Ask for a certificate of an issuer that may issue it.",
        "Ask the owner for a certificate of another issuer. `sealgate inspect FILE --trust ROOTS` shows the path."),
    _R.PATH_SIGNATURE: Sentence(
        "The signature of a certificate on the path is invalid.",
        "Ask the issuer to issue the certificate again.",
        "Check that the issuer's certificate is the current one. `sealgate inspect FILE --trust ROOTS` shows the "
        "path."),
    _R.PATH_EXPIRED: Sentence(
        "A certificate on the path to the trust anchor has expired.",
        "Enclose the current intermediate certificate.",
        "Put the current intermediate or root certificate into `trust.intermediates`, `trust.signers` or "
        "`trust.recipients`."),
    _R.PATH_REVOKED: Sentence(
        "An issuer revoked an intermediate certificate on the path.",
        "Ask the owner for a certificate of another issuer.",
        "Ask the owner for a certificate of another issuer. `sealgate revocation list` shows the lists."),
    _R.PATH_POLICY: Sentence(
        "The certificate path permits none of the required certificate policies.",
        "Ask for a certificate that is issued under a required policy.",
        "Ask the owner for a certificate under a required policy. `sealgate inspect FILE --trust ROOTS` shows the "
        "path."),
    _R.REVOCATION_UNAVAILABLE: Sentence(
        "The gateway cannot determine at present whether the certificate was revoked.",
        "Try again later.",
        "See the failures with `sealgate revocation list`, then run `sealgate revocation refresh`. "
        "`trust.revocation` sets when the status is required."),
    _R.REVOCATION_NOT_CHECKED: Sentence(
        "The gateway did not check whether the certificate was revoked.",
        "Check the revocation status where it matters.",
        "Set `trust.revocation: soft` or `trust.revocation: require`, and `fetch.enabled: true`."),
    _R.REVOCATION_MALFORMED: Sentence(
        "The CRL or OCSP response breaks the rules of its format.",
        "Report the fault to the certificate authority and try again later.",
        "Report the fault to the certificate authority, then run `sealgate revocation refresh URL`."),
    _R.REVOCATION_ALTERED: Sentence(
        "The signature of the CRL or OCSP response is invalid.",
        "Fetch it again from the certificate authority.",
        "Fetch it again with `sealgate revocation refresh URL`. If it fails again, ask the certificate authority."),
    _R.REVOCATION_UNTRUSTED: Sentence(
        "The signer of the CRL or OCSP response is not authorised by the certificate's issuer.",
        "Fetch it from the address that the certificate names.",
        "Ask the certificate authority. If the bank trusts this OCSP responder, add its certificate to "
        "`trust.ocsp_responders`."),
    _R.REVOCATION_STALE: Sentence(
        "The CRL or OCSP response is too old.",
        "Try again later, with a newer CRL or OCSP response.",
        "Fetch a newer one with `sealgate revocation refresh`. `sealgate revocation list` shows the last failure."),
    _R.REVOCATION_FUTURE: Sentence(
        "The CRL or OCSP response is dated in the future.",
        "Compare the clock with that of the certificate authority.",
        "Check the clock of this machine with `timedatectl`. If it is right, ask the certificate authority."),
    _R.REVOCATION_WEAK_ALGORITHM: Sentence(
        "The signature of the CRL or OCSP response uses a broken algorithm.",
        "Ask the certificate authority to sign with SHA-256 or better.",
        "Ask the certificate authority to sign with SHA-256 or better. `sealgate inspect FILE` shows the algorithm."),
    _R.REVOCATION_REFUSED: Sentence(
        "The OCSP responder gives no status for this certificate.",
        "Ask the certificate authority. Its CRL may contain the status.",
        "Ask the certificate authority. `sealgate inspect FILE --crl CRL` uses its CRL for one file."),
    _R.FETCH_UNAVAILABLE: Sentence(
        "The gateway could not fetch the data.",
        "Try again later.",
        "Check DNS, firewall and proxy for the address, then run `sealgate revocation refresh URL`. "
        "`fetch.deadline_s` sets the time limit."),
    _R.FETCH_REFUSED: Sentence(
        "The gateway may not fetch data from this address.",
        "Ask the operator to permit the network or the kind of address.",
        "If the address is correct, permit its network in `fetch.networks` or its scheme in `fetch.schemes`."),
    _R.FETCH_TOO_LARGE: Sentence(
        "The fetched data exceed the limit.",
        "Ask the operator to raise the limit if this size is expected.",
        "If this size is expected, raise `fetch.octets_max`."),
    _R.SIGNATURE_NOT_SIGNED: Sentence(
        "The message is not signed.",
        "Sign the message.",
        "Ask the sender to sign it. `sealgate inspect FILE` shows its structure."),
    _R.SIGNATURE_ALTERED: Sentence(
        "The content has changed since it was signed.",
        "Send it again unaltered.",
        "Ask the sender to send it again. Check whether a server on the way changes messages, for instance by a "
        "footer."),
    _R.SIGNATURE_MALFORMED: Sentence(
        "The signature breaks the rules of its format.",
        "Sign it with another mail client, or report this to the vendor of the signing program.",
        "Report the fault to the vendor of the signing program. `sealgate inspect FILE` shows the place."),
    _R.SIGNATURE_ATTRIBUTES: Sentence(
        "The signed attributes are missing or wrong.",
        "Sign it with another mail client, or report this to the vendor of the signing program.",
        "Report the fault to the vendor of the signing program. `sealgate inspect FILE` shows the attributes."),
    _R.SIGNATURE_EXPIRED: Sentence(
        "The signer's certificate had expired at the time of signing.",
        "Sign with a valid certificate.",
        "Ask the sender to sign with a valid certificate. `sealgate inspect FILE` shows the dates."),
    _R.SIGNATURE_NOT_YET_VALID: Sentence(
        "The signer's certificate was not valid yet at the time of signing.",
        "Sign with a valid certificate, and check the clock of the signing computer.",
        "Ask the sender to check their clock and certificate. `sealgate inspect FILE` shows the dates."),
    _R.SIGNATURE_REVOKED: Sentence(
        "The issuer revoked the signer's certificate.",
        "Sign with another certificate.",
        "Ask the sender to sign with another certificate. `sealgate inspect FILE` shows the date of revocation."),
    _R.SIGNATURE_ON_HOLD: Sentence(
        "The issuer of the signer's certificate has put it on hold.",
        "Have the hold lifted, or sign with another certificate.",
        "Ask the sender for another signature. When the hold is lifted, run `sealgate revocation refresh`."),
    _R.SIGNATURE_WEAK_ALGORITHM: Sentence(
        "The signature uses a broken algorithm.",
        "Sign with SHA-256 or better.",
        "Ask the sender to sign with SHA-256 or better. `sealgate inspect FILE` shows the algorithm."),
    _R.SIGNATURE_WEAK_KEY: Sentence(
        "The key of the signer is too short.",
        "Sign with a longer key.",
        "Ask the sender for a certificate with RSA of 3072 bits or P-256."),
    _R.SIGNATURE_ALGORITHM_UNKNOWN: Sentence(
        "The gateway does not support the algorithm of the signature.",
        "Sign with RSA or ECDSA and SHA-256 or better.",
        "Ask the sender to sign with RSA or ECDSA. `sealgate inspect FILE` shows the algorithm."),
    _R.SIGNATURE_WRONG_USAGE: Sentence(
        "The signer's certificate does not permit signing mail.",
        "Sign with a certificate that is issued for e-mail.",
        "Ask the sender to sign with a certificate for e-mail. `sealgate inspect FILE` shows its key usages."),
    _R.SIGNATURE_CERTIFICATE_MISSING: Sentence(
        "The signature does not enclose the signer's certificate.",
        "Enclose the certificate in the signature.",
        "Ask the sender to enclose the certificate, or give it with `sealgate inspect FILE --chain CERTIFICATES`."),
    _R.SIGNATURE_CERTIFICATE_MISMATCH: Sentence(
        "The signature refers to another certificate than the one that verifies it.",
        "Sign it with another mail client, or report this to the vendor of the signing program.",
        "Report the fault to the vendor of the signing program. `sealgate inspect FILE` shows both certificates."),
    _R.SIGNATURE_CONTENT_MISSING: Sentence(
        "The signed content is missing.",
        "Provide the signed content.",
        "Give the signed content with `sealgate inspect FILE --content CONTENT`."),
    _R.SIGNATURE_PART_ONLY: Sentence(
        "The signature covers only a part of the message.",
        "Sign the whole message.",
        "Ask the sender to sign the whole message. Mailing lists and footers often cause this."),
    _R.SIGNATURE_OUTSIDE_ENCRYPTION: Sentence(
        "The signature is outside the encryption.",
        "Sign first, then encrypt.",
        "Ask the sender to sign first, then encrypt. `sealgate inspect FILE` shows the layers."),
    _R.SIGNATURE_OUTER_INVALID: Sentence(
        "An outer signature of the message is invalid.",
        "Send it again without the outer signature.",
        "Check which server adds the outer signature. `sealgate inspect FILE` shows the layers."),
    _R.TIMESTAMP_MALFORMED: Sentence(
        "The time-stamp breaks the rules of its format.",
        "Request a new time-stamp.",
        "Report the fault to the operator of the time-stamping service. `sealgate inspect FILE` shows the place."),
    _R.TIMESTAMP_ALTERED: Sentence(
        "The signature of the time-stamp is invalid.",
        "Request a new time-stamp.",
        "Request a new time-stamp. `sealgate inspect FILE` shows the token."),
    _R.TIMESTAMP_IMPRINT: Sentence(
        "The time-stamp belongs to other data.",
        "Provide the time-stamp that belongs to these data.",
        "Give the stamped data with `sealgate inspect FILE --content CONTENT`."),
    _R.TIMESTAMP_FUTURE: Sentence(
        "The time-stamp is dated in the future.",
        "Ask the operator of the time-stamping service to check its clock.",
        "Check the clock of this machine with `timedatectl`, then that of the time-stamping service."),
    _R.TIMESTAMP_UNTRUSTED: Sentence(
        "The time-stamp does not come from a trusted service.",
        "Use a time-stamping service that the bank trusts.",
        "If the bank trusts the service, add its root to `trust.stampers`, `trust.stampers_external` or "
        "`trust.stampers_qualified`."),
    _R.TIMESTAMP_WRONG_USAGE: Sentence(
        "The certificate of the time-stamp does not permit time-stamping.",
        "Use a time-stamping service that the bank trusts.",
        "Use another service, or request a certificate with the sole purpose timeStamping for "
        "`stampers[].certificate`."),
    _R.TIMESTAMP_EXPIRED: Sentence(
        "The certificate of the time-stamping service had expired.",
        "Request a new time-stamp.",
        "Renew the certificate in `stampers[].certificate`, or report this to the operator of the service."),
    _R.TIMESTAMP_WEAK_ALGORITHM: Sentence(
        "The time-stamp uses a broken algorithm.",
        "Request a time-stamp with SHA-256 or better.",
        "Use a time-stamping service in `stampers` that signs with SHA-256 or better."),
    _R.TIMESTAMP_REFUSED: Sentence(
        "The time-stamping service rejected the request.",
        "Ask the operator of the time-stamping service.",
        "Ask the operator of the service. `sealgate check` tests each entry of `stampers`; `stampers[].policy_oid` "
        "must be one of its policies."),
    _R.TIMESTAMP_SUBJECT_MISSING: Sentence(
        "The data to which the time-stamp belongs are missing.",
        "Provide the stamped data.",
        "Give the stamped data with `sealgate inspect FILE --content CONTENT`."),
    _R.DECRYPTION_FAILED: Sentence(
        "The gateway could not decrypt the message.",
        "Encrypt it again to the current certificate of the recipient.",
        "Ask the sender to encrypt it again. `sealgate inspect FILE --key KEY` shows the recipients and algorithms."),
    _R.DECRYPTION_WEAK_ALGORITHM: Sentence(
        "The sending program encrypted the message with an algorithm that is too weak.",
        "Configure the sending program to encrypt with AES.",
        "Ask the sender to encrypt with AES. `opening.weak` permits 3DES, which is never trusted."),
    _R.DECRYPTION_NO_KEY: Sentence(
        "The message is not encrypted to any key of the bank.",
        "Encrypt it to the current certificate of the recipient.",
        "Send the current certificate to the sender. If they used an older one, add its key to `keys[].generations`."),
    _R.DECRYPTION_PART_ONLY: Sentence(
        "Only a part of the message is encrypted.",
        "Encrypt the whole message.",
        "Ask the sender to encrypt the whole message. `sealgate inspect FILE` shows the parts."),
    _R.DECRYPTION_NOT_AUTHENTICATED: Sentence(
        "The encrypted content is not protected against changes.",
        "Sign the message before encrypting it.",
        "Ask the sender to sign before encrypting, or to encrypt with AES-GCM."),
    _R.HEADERS_DIFFER: Sentence(
        "The outer header differs from the protected header.",
        "Trust the protected header only.",
        "Trust the protected header only. `sealgate inspect FILE` shows both."),
    _R.KEY_UNAVAILABLE: Sentence(
        "The gateway cannot use a key of the bank at present.",
        "Try again later.",
        "Check that the named file or token exists and that only the gateway can read it; `sealgate check` tests all "
        "`keys`."),
    _R.KEY_WRONG_PURPOSE: Sentence(
        "The key of the bank does not permit this purpose.",
        "Ask the bank's postmaster.",
        "Correct `keys[].purpose` or use another key; `sealgate key list` shows the keys with their purposes."),
    _R.KEY_NOT_PERMITTED: Sentence(
        "This sender may not use the signing key of the bank.",
        "Use a sender address and a client that are registered for this key.",
        "Add the sender address to `keys[].from` and the client to `keys[].clients`, then run `sealgate reload`."),
    _R.STAMPER_UNAVAILABLE: Sentence(
        "The gateway cannot get a time-stamp at present.",
        "Try again later.",
        "Test each entry of `stampers` with `sealgate check`. A second one in the policy, as in `stamp: {by: [acme, "
        "internal]}`, gives fail-over."),
    _R.STAMPER_CLOCK: Sentence(
        "The clock of the gateway is not accurate enough for time-stamps.",
        "Try again later.",
        "Synchronise the clock with chrony or systemd-timesyncd; `timedatectl` shows the state. "
        "`stampers[].clock_check` sets the check."),
    _R.CLOCK_WRONG: Sentence(
        "The clock of the gateway is wrong.",
        "Try again later.",
        "Set the clock of the machine, or start chrony or systemd-timesyncd; `timedatectl` shows the state. The "
        "gateway works again as soon as the time is right."),
    _R.STORE_UNAVAILABLE: Sentence(
        "The gateway cannot use its database.",
        "Try again later.",
        "Check the disk space and `database`, or that the server runs and `postgresql.host`, `postgresql.user` and "
        "`postgresql.password_file` are correct. `sealgate database status` tests the connection."),
    _R.STORE_MISSING: Sentence(
        "The gateway cannot find its database.",
        "Try again later.",
        "If its disk is not mounted, mount it. Otherwise restore a backup with `sealgate restore FILE`, or create an "
        "empty database with `sealgate init --database`."),
    _R.STORE_VERSION: Sentence(
        "The version of the database does not match the version of the gateway.",
        "Try again later.",
        "Show the versions with `sealgate database status`; `sealgate database upgrade` upgrades the database. "
        "docs/database.md describes the upgrade."),
    _R.STORE_MISMATCH: Sentence(
        "The gateway found a database other than its own.",
        "Try again later.",
        "Compare both ids with `sealgate database status`. If this database is the right one, run `sealgate database "
        "adopt`."),
    _R.JOURNAL_IN_PROGRESS: Sentence(
        "The gateway is already processing the same message.",
        "Wait, then send it again.",
        "Wait. `sealgate trace INCIDENT` shows both attempts."),
    _R.HOLD_FULL: Sentence(
        "The gateway cannot hold more messages at present.",
        "Try again later.",
        "Release or reject messages after `sealgate hold list`, or raise `hold.octets_max`."),
    _R.HOLD_SETTLED: Sentence(
        "The message is not held any more: it was released or rejected.",
        "Read the list of held messages again.",
        "`sealgate hold show ID` shows its state, `sealgate audit list --object ID` who decided."),
    _R.PARTNER_UNKNOWN: Sentence(
        "The service could not authenticate the client.",
        "Use the token or certificate that was agreed on.",
        "Check `http.partners` or `clients`. `sealgate http token NAME` and `sealgate client token CLIENT` issue a "
        "new token."),
    _R.PARTNER_NOT_PERMITTED: Sentence(
        "This client may not use this service.",
        "Ask the bank to permit it.",
        "Add the scope to `clients[].scopes`, then run `sealgate reload`."),
    _R.REQUEST_UNKNOWN: Sentence(
        "The service does not know this identifier.",
        "Check the identifier.",
        "Check the identifier. `sealgate otp show ID`, `sealgate customer show NUMBER` and `sealgate statements show "
        "RUN` show what exists."),
    _R.REQUEST_KEY_MISSING: Sentence(
        "The request has no Idempotency-Key field.",
        "Send a random Idempotency-Key, and the same one when you repeat the request.",
        "Correct the calling system: docs/api.md describes the Idempotency-Key field."),
    _R.REQUEST_KEY_CONFLICT: Sentence(
        "Another request used the same Idempotency-Key.",
        "Use a new key for a new request.",
        "Correct the calling system: each new request needs a new key (docs/api.md)."),
    _R.REQUEST_IN_PROGRESS: Sentence(
        "The service is already processing the same request.",
        "Repeat it later with the same key.",
        "Repeat it later with the same key."),
    _R.REQUEST_PATH_GONE: Sentence(
        "This path has ended: paths of the service begin with the version of the interface.",
        "Send the request to the path of the present version.",
        "Change the calling system: docs/api.md lists the paths below /v1."),
    _R.REQUEST_OUTDATED: Sentence(
        "The resource has changed since it was read.",
        "Read it again, and send the new value of its ETag field.",
        "Read it again, and send the new value of its ETag field (docs/api-reference.md)."),
    _R.REQUEST_UNCONDITIONAL: Sentence(
        "The request changes a resource and has no If-Match field.",
        "Read the resource first, and send the value of its ETag field as If-Match.",
        "Correct the calling system: docs/api-reference.md describes If-Match."),
    _R.REQUEST_NEEDS_APPROVAL: Sentence(
        "Nothing was changed: this act needs the approval of a second person.",
        "Ask the bank's administrators to do it.",
        "Use the command of the act, such as `sealgate hold release ID`. docs/four-eyes.md describes approvals."),
    _R.CUSTOMER_UNKNOWN: Sentence(
        "The bank's register does not contain this customer.",
        "Check the customer number, or have the customer registered.",
        "Check the number with `sealgate customer list`, or register the customer with `sealgate customer import "
        "CSV`."),
    _R.CUSTOMER_BLOCKED: Sentence(
        "The customer is blocked.",
        "Ask the bank to speak with the customer and to lift the block.",
        "Speak with the customer, then lift the block with `sealgate otp unblock CUSTOMER`."),
    _R.CUSTOMER_LOCKED: Sentence(
        "The customer is locked after too many wrong codes in a row.",
        "Wait until the lock ends, or ask the bank to unblock the customer.",
        "Find the cause with `sealgate otp list CUSTOMER`, then use `sealgate otp unblock CUSTOMER`. "
        "`codes.failures_max` and `codes.failures_window_s` set the lock."),
    _R.CUSTOMER_NO_ADDRESS: Sentence(
        "The bank's register contains no mail address of the customer.",
        "Have a mail address of the customer registered.",
        "Register an address with `sealgate customer import CSV`; `sealgate customer show NUMBER` shows the entry."),
    _R.FALLBACK_INVITED: Sentence(
        "The message waits for the recipient's certificate, and the bank invited the recipient to provide one.",
        "The sender need not do anything.",
        "Usually no action is needed: the message leaves when a certificate is available. `sealgate hold list` shows "
        "it, and `fallbacks.hold_days` sets how long it waits."),
    _R.FALLBACK_OFTEN: Sentence(
        "The bank invited the recipient recently.",
        "The sender need not do anything.",
        "Usually no action is needed. `fallbacks.invite.every_days` sets the interval between invitations."),
    _R.HOLD_EXPIRED: Sentence(
        "No certificate of the recipient was available in time.",
        "Contact the recipient in another way.",
        "Contact the recipient in another way, or import their certificate with `sealgate cert import FILE`. "
        "`fallbacks.hold_days` sets the time."),
    _R.PASSWORD_NOT_HANDED_OVER: Sentence(
        "The gateway could not hand over the password of the document.",
        "Try again later.",
        "Check the service in `fallbacks.encrypted_pdf.hook_url` or the program in "
        "`fallbacks.encrypted_pdf.hook_program`."),
    _R.CODE_UNKNOWN: Sentence(
        "The service does not know this code.",
        "Request a new code.",
        "Check the identifier with `sealgate otp list CUSTOMER`. Codes are kept for `codes.keep_days`."),
    _R.CODE_WRONG: Sentence(
        "The code is wrong.",
        "Enter the code again exactly as the message shows it.",
        "Enter the code again. `sealgate otp show ID` shows the remaining tries."),
    _R.CODE_CHANGED: Sentence(
        "The transaction differs from the one for which the code was issued.",
        "Request a code for this transaction.",
        "Give the transaction unchanged, or request a new code with `sealgate otp send CUSTOMER --client CLIENT`."),
    _R.CODE_EXPIRED: Sentence(
        "The code has expired.",
        "Request a new code.",
        "Request a new code with `sealgate otp send CUSTOMER --client CLIENT`. `codes.life_s` sets its lifetime."),
    _R.CODE_USED: Sentence(
        "The code was already used.",
        "Request a new code.",
        "Request a new code with `sealgate otp send CUSTOMER --client CLIENT`."),
    _R.CODE_CANCELLED: Sentence(
        "The code was cancelled.",
        "Request a new code.",
        "Request a new code with `sealgate otp send CUSTOMER --client CLIENT`. `sealgate otp show ID` shows when it "
        "was cancelled."),
    _R.CODE_REPLACED: Sentence(
        "A newer code replaced this code.",
        "Use the newest code.",
        "Use the newest code; `sealgate otp list CUSTOMER` shows it."),
    _R.CODE_TRIES: Sentence(
        "Too many wrong entries invalidated the code.",
        "Request a new code.",
        "Request a new code with `sealgate otp send CUSTOMER --client CLIENT`. `codes.tries_max` sets the limit."),
    _R.CODE_OFTEN: Sentence(
        "The client requested too many codes in a short time.",
        "Wait before requesting another code.",
        "Wait, or raise `codes.per_customer_per_hour_max` or `codes.per_client_per_minute_max`."),
    _R.RUN_UNKNOWN: Sentence(
        "The service does not know this run.",
        "Check the name of the run.",
        "Check the name with `sealgate statements list`."),
    _R.RUN_CHANGED: Sentence(
        "The file or the data of the run changed after the run began.",
        "Restore the earlier files, or begin a run with another name.",
        "Restore the earlier files and run `sealgate statements resume RUN`, or cancel it with `sealgate statements "
        "cancel RUN` and begin another."),
    _R.RUN_STATE: Sentence(
        "The state of the run does not permit this operation.",
        "Check the state of the run.",
        "Check the state with `sealgate statements show RUN`."),
    _R.RUN_THRESHOLD: Sentence(
        "The run did not start because it contains too many messages that cannot be sent.",
        "Correct what the pre-flight reports, or ask the bank to raise the threshold.",
        "Correct what `sealgate statements check RUN.yaml` reports, or raise `statements.refused_percent_max`."),
    _R.STATEMENT_ROW: Sentence(
        "The gateway cannot use a row of the data.",
        "Correct the row.",
        "Correct the row in the source; `sealgate statements report RUN --csv` lists all rows."),
    _R.STATEMENT_REPEATED: Sentence(
        "The run contains the same statement more than once.",
        "Remove the repeated row.",
        "Remove the repeated row from the source."),
    _R.STATEMENT_AMBIGUOUS: Sentence(
        "The source contains two different documents for one statement.",
        "Remove the wrong row. A corrected statement needs a version of its own.",
        "Remove the wrong row from the source. A corrected statement needs a version of its own (docs/statements.md)."),
    _R.STATEMENT_SENT_BEFORE: Sentence(
        "An earlier run sent the same statement.",
        "No action is needed. A new version replaces the statement.",
        "Usually no action is needed. `sealgate statements replace OLD RUN.yaml` sends a corrected version."),
    _R.STATEMENT_NOT_SENT: Sentence(
        "No earlier run sent this statement.",
        "Check the customer, the account, the period and the version.",
        "Check the customer, the account, the period and the version; `sealgate statements list` shows the runs."),
    _R.STATEMENT_BOUNCED: Sentence(
        "The recipient's mail server returned the statement.",
        "Check the address.",
        "Check the address with `sealgate customer show NUMBER`; `sealgate statements report RUN` shows the server's "
        "reply."),
    _R.BOUNCE_UNMATCHED: Sentence(
        "The bounce belongs to no message of the bank.",
        "The sender need not do anything.",
        "Usually no action is needed. Check `codes.bounces` and `statements.bounces` if this occurs often."),
    _R.SERVICE_REFUSED: Sentence(
        "The service to which the message is addressed rejected it.",
        "Contact the bank in another way.",
        "See the service's answer with `sealgate trace INCIDENT`. The rule's `end: {hand_to: SERVICE}` names the "
        "service."),
    _R.PDF_MISSING: Sentence(
        "The document is missing.",
        "Provide the document at the place that the data name.",
        "Put the document into the directory that the run file names; `sealgate statements check RUN.yaml` checks "
        "all rows."),
    _R.PDF_UNREADABLE: Sentence(
        "The document is damaged or is not a PDF file.",
        "Create the document again.",
        "Create the document again and check it with `sealgate documents check FILE`."),
    _R.PDF_LOCKED: Sentence(
        "The document is protected by a password.",
        "Provide it without a password. The gateway encrypts the whole message.",
        "Provide it without a password, then check it with `sealgate documents check FILE`. The gateway encrypts the "
        "whole message."),
    _R.PDF_INACCESSIBLE: Sentence(
        "The document is not accessible: it lacks tags, a language or a title.",
        "Create an accessible PDF file (ISO 14289).",
        "Create an accessible PDF file (ISO 14289), or set `accessible: false` under `documents` in the run file."),
    _R.PDF_TOO_LARGE: Sentence(
        "The document is larger than the limit.",
        "Provide a smaller document.",
        "Provide a smaller document, or raise `statements.document_octets_max`."),
    _R.PDF_NOT_MADE: Sentence(
        "The gateway could not create the document.",
        "Check the template and its data.",
        "See the log for the error, then try the template with `sealgate documents make TEMPLATE VALUES.json --out "
        "FILE`. `statements.document_timeout_s` sets the time limit."),
    _R.NEXT_HOP_UNAVAILABLE: Sentence(
        "The gateway cannot reach the next mail server.",
        "Try again later.",
        "Check the server and `next_hops.outbound` or `next_hops.inbound`; `sealgate check` tests the connection."),
    _R.NEXT_HOP_LATER: Sentence(
        "The next mail server deferred the message.",
        "Try again later.",
        "See the log of the next mail server; `sealgate trace INCIDENT` shows its reply."),
    _R.NEXT_HOP_REFUSED: Sentence(
        "The next mail server rejected the message.",
        "Check the address and the content of the message.",
        "See the server's reply with `sealgate trace INCIDENT`; its log shows the cause."),
    _R.NEXT_HOP_TLS: Sentence(
        "The gateway could not establish a TLS connection to the next mail server.",
        "Try again later.",
        "Check the server's certificate against `next_hops.outbound.tls_ca` and `next_hops.outbound.tls_name` (or "
        "`next_hops.inbound`); `sealgate check` tests it."),
    _R.NEXT_HOP_EIGHT_BIT: Sentence(
        "The next mail server does not accept 8-bit messages.",
        "Send it with a 7-bit transfer encoding.",
        "Enable 8BITMIME on the next mail server (`next_hops`), or send with a 7-bit transfer encoding."),
    _R.NEXT_HOP_SMTPUTF8: Sentence(
        "The next mail server does not accept internationalised addresses.",
        "Use ASCII addresses.",
        "Enable SMTPUTF8 on the next mail server (`next_hops`), or use ASCII addresses."),
    _R.CONFIG_INVALID: Sentence(
        "The configuration contains an error.",
        "Try again later, and report this to the bank's postmaster.",
        "Correct the named place in the settings, then run `sealgate check`."),
    _R.CONFIG_UNREADABLE: Sentence(
        "The gateway cannot read its configuration.",
        "Try again later, and report this to the bank's postmaster.",
        "Check that the named file exists and that the gateway may read it. `sealgate --config FILE check` uses "
        "another configuration."),
    _R.USAGE: Sentence(
        "The command or request is invalid.",
        "Check the form of the request.",
        "See the help of the command: `sealgate --help`."),
    _R.INTERNAL: Sentence(
        "An unexpected error occurred in the gateway.",
        "Try again later, and report the incident to the bank's postmaster.",
        "Run `sealgate trace INCIDENT` and search the log for the incident. Report the error with these lines to the "
        "developers of Sealgate."),
})


def public_texts(reason: Reason, language: str) -> tuple[str, str]:
    """What happened, and the remedy for the other side. `language`: such as `de-AT`; English where it has no texts."""
    sentence = SENTENCES[reason]
    return languages.reasons(language).get(reason.value, (sentence.what, sentence.remedy))
