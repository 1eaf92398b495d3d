"""The fixed replies of the SMTP dialogue, by name: answers to commands, not about mails.

RFC 5321 4.2 and 4.3.2, RFC 3463, RFC 4954 (AUTH), RFC 3207 (STARTTLS). Replies with a Reason are in `replies`.
"""

from gateway.frontends.replies import Reply


def _reply(code: int, detail: str, text: str) -> bytes:
    return Reply(code, detail, (text,)).octets()


# Good
OK = _reply(250, "0.0", "Ok")
SENDER_OK = _reply(250, "1.0", "Sender ok")
RECIPIENT_OK = _reply(250, "1.5", "Recipient ok")
BYE = _reply(221, "0.0", "Bye")
START_DATA = b"354 End data with <CR><LF>.<CR><LF>\r\n"
START_TLS = _reply(220, "0.0", "Ready to start TLS")
AUTH_OK = _reply(235, "7.0", "Authentication successful")
AUTH_GO_ON = b"334 \r\n"
AUTH_LOGIN_NAME = b"334 VXNlcm5hbWU6\r\n"  # 'Username:', as all servers of this never specified mechanism say
AUTH_LOGIN_PASSWORD = b"334 UGFzc3dvcmQ6\r\n"  # 'Password:'
CANNOT_VERIFY = _reply(252, "5.2", "Cannot verify, but will take mail for it if it is permitted")
HELP = _reply(214, "0.0", "RFC 5321")

# Bad commands
LINE_TOO_LONG = _reply(500, "5.2", "Line too long")
LINE_END = _reply(500, "5.2", "A command ends in CR LF and contains no other CR, LF or NUL")
NOT_UTF8 = _reply(500, "5.2", "A command is ASCII, or UTF-8 with SMTPUTF8")
UNKNOWN_COMMAND = _reply(500, "5.1", "Command not recognised")
NOT_IMPLEMENTED = _reply(502, "5.1", "Command not implemented")
NO_ARGUMENT = _reply(501, "5.4", "This command takes no argument")
SYNTAX_HELO = _reply(501, "5.4", "Syntax: HELO hostname or EHLO hostname")
SYNTAX_LHLO = _reply(501, "5.4", "Syntax: LHLO hostname")
SYNTAX_MAIL = _reply(501, "5.4", "Syntax: MAIL FROM:<address> [parameters]")
SYNTAX_RCPT = _reply(501, "5.4", "Syntax: RCPT TO:<address> [parameters]")
SYNTAX_AUTH = _reply(501, "5.4", "Syntax: AUTH mechanism [initial-response]")
BAD_PARAMETER = _reply(501, "5.4", "A parameter is repeated or has a bad value")
UNKNOWN_PARAMETER = _reply(555, "5.4", "Parameter not recognised or not offered")
BAD_ATTRIBUTE = _reply(501, "5.4", "An attribute is unknown, is repeated or has a bad value")
BAD_SENDER = _reply(553, "1.7", "Bad sender address")
BAD_RECIPIENT = _reply(553, "1.3", "Bad recipient address")
NEEDS_SMTPUTF8 = _reply(553, "6.7", "An address beyond ASCII needs SMTPUTF8")
NOT_AUTHORISED = _reply(550, "7.0", "Insufficient authorisation")

# Bad order
HELO_FIRST = _reply(503, "5.1", "Send HELO or EHLO first")
NESTED_MAIL = _reply(503, "5.1", "A transaction is under way")
LHLO_FIRST = _reply(503, "5.1", "Send LHLO first")
HELO_NOT_LMTP = _reply(500, "5.1", "This is LMTP: LHLO")
MAIL_FIRST = _reply(503, "5.1", "Send MAIL first")
NO_RECIPIENTS = _reply(554, "5.1", "No valid recipients")
NO_RECIPIENTS_LMTP = _reply(503, "5.1", "No valid recipients")
TOO_EARLY = _reply(503, "5.0", "Input before the reply to this command; closing")
TLS_ACTIVE = _reply(503, "5.1", "TLS is active")
TLS_NOT_OFFERED = _reply(502, "5.1", "TLS is not offered")
AUTH_NOT_OFFERED = _reply(502, "5.1", "AUTH is not offered")
AUTH_NEEDS_TLS = _reply(538, "7.11", "AUTH needs TLS")
AUTH_TWICE = _reply(503, "5.1", "Authenticated already")
AUTH_UNKNOWN = _reply(504, "5.4", "Mechanism not offered")
AUTH_CANCELLED = _reply(501, "7.0", "Authentication cancelled")
AUTH_BASE64 = _reply(501, "5.2", "Not base64, or not of the right form")
AUTH_LATER = _reply(454, "7.0", "Authentication not possible at the moment")

# Endings
TOO_MANY_ERRORS = _reply(421, "7.0", "Too many errors")
TOO_MANY_CONNECTIONS = _reply(421, "7.0", "Too many connections")
TOO_SLOW = _reply(421, "4.2", "Time is up")
STOPPING = _reply(421, "3.2", "Stopping; come back later")
UNAVAILABLE = _reply(421, "3.2", "Service not available; come back later")
NOT_HTTP = _reply(421, "7.0", "This is not HTTP")
