"""What happened and what to do, in German: for people to whom the gateway writes mail (`bank.language: de`).

The English texts are in `model.sentences`. SMTP replies and the HTTP interfaces answer in English alone, because SMTP
carries ASCII (RFC 5321 4.2). tests/architecture/test_reasons.py keeps both tables complete.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.errors import Reason

_R = Reason

# Reason: what happened, and the remedy for the other side.
GERMAN: Mapping[Reason, tuple[str, str]] = MappingProxyType({
    _R.INPUT_EMPTY: (
        "Die Eingabe ist leer.",
        "Prüfen Sie, ob die Datei oder Nachricht vollständig übertragen wurde, und senden Sie sie noch einmal."),
    _R.INPUT_MALFORMED: (
        "Die Eingabe verstößt gegen die Regeln ihres Formats.",
        "Berichtigen Sie die Eingabe, oder melden Sie den Fehler dem Hersteller des Programms, das sie erzeugt hat."),
    _R.INPUT_NOT_RECOGNISED: (
        "Das Format der Datei ist nicht bekannt.",
        "Senden Sie eine Nachricht, ein Zertifikat, eine Signatur, einen Zeitstempel oder Sperrdaten."),
    _R.INPUT_TOO_LARGE: ("Die Eingabe ist zu groß.", "Teilen Sie die Eingabe auf und senden Sie die Teile einzeln."),
    _R.INPUT_LIMIT_EXCEEDED: (
        "Die Eingabe ist zu tief verschachtelt oder enthält zu viele Teile, Kopfzeilen oder Adressen.",
        "Senden Sie sie mit weniger Teilen, Kopfzeilen oder Adressen."),
    _R.INPUT_KIND_NOT_JUDGED: (
        "Dieses Format wird erkannt, aber nicht geprüft.",
        "Prüfen Sie die Datei mit einem Programm für dieses Format."),
    _R.INPUT_UNREADABLE: (
        "Die Eingabe ist nicht lesbar.",
        "Prüfen Sie, ob die Eingabe vorhanden ist und gelesen werden darf."),
    _R.INPUT_PASSWORD_WRONG: ("Das Passwort passt nicht zu der Datei.", "Verwenden Sie das richtige Passwort."),
    _R.MAIL_BARE_NEWLINE: (
        "Die Nachricht enthält ein Zeilenende, das nicht aus CR und LF besteht.",
        "Stellen Sie das sendende Programm so ein, dass jede Zeile mit CR und LF endet."),
    _R.MAIL_NUL: ("Die Nachricht enthält ein NUL-Zeichen.", "Kodieren Sie binäre Inhalte mit Base64."),
    _R.MAIL_LINE_TOO_LONG: (
        "Die Nachricht enthält eine Zeile mit mehr als 65536 Zeichen.",
        "Kodieren Sie den Inhalt mit Base64 oder Quoted-Printable."),
    _R.MAIL_FIELD_TOO_LONG: (
        "Eine Kopfzeile hat mehr als 998 Zeichen ohne ein Leerzeichen, an dem sie umbrochen werden kann.",
        "Kürzen Sie die Kopfzeile, oder setzen Sie Leerzeichen zwischen ihre Teile."),
    _R.MAIL_TOO_LARGE: (
        "Die Nachricht ist zu groß.",
        "Senden Sie kleinere Anhänge, oder teilen Sie die Nachricht auf."),
    _R.MAIL_LOOP: (
        "Die Nachricht läuft im Kreis.",
        "Bitten Sie den Postmaster, die Weiterleitungen dieser Adressen zu prüfen."),
    _R.MAIL_MALFORMED: (
        "Das sendende Programm hat eine ungültige Nachricht erzeugt.",
        "Verwenden Sie ein anderes E-Mail-Programm, oder melden Sie den Fehler dem Hersteller des Programms."),
    _R.MAIL_FIELD_REPEATED: (
        "Die Nachricht enthält eine Kopfzeile mehrfach, die nur einmal vorkommen darf.",
        "Senden Sie die Nachricht mit je einer Zeile Date, From, To, Cc, Subject, Sender und Reply-To."),
    _R.MAIL_AMBIGUOUS: (
        "Die Nachricht nennt ihren Inhaltstyp oder ihre Kodierung mehrfach, sodass Programme sie verschieden lesen.",
        "Senden Sie die Nachricht noch einmal mit je einer Zeile Content-Type und Content-Transfer-Encoding."),
    _R.MAIL_DEADLINE: (
        "Die Nachricht konnte nicht rechtzeitig verarbeitet werden.",
        "Senden Sie sie später noch einmal."),
    _R.CLIENT_UNKNOWN: (
        "Dieser Server nimmt von diesem Absendersystem keine Nachrichten an.",
        "Bitten Sie den Postmaster der Bank, das System einzutragen."),
    _R.CLIENT_FROM_NOT_ALLOWED: (
        "Das sendende System darf diese Absenderadresse nicht verwenden.",
        "Verwenden Sie eine eingetragene Absenderadresse, oder bitten Sie den Postmaster der Bank, diese einzutragen."),
    _R.CLIENT_AUTH_REQUIRED: ("Dieser Server verlangt eine Anmeldung.", "Melden Sie sich zuerst an."),
    _R.CLIENT_AUTH_FAILED: ("Die Anmeldung ist fehlgeschlagen.", "Prüfen Sie Benutzername und Passwort."),
    _R.CLIENT_TLS_REQUIRED: (
        "Dieser Server verlangt eine verschlüsselte Verbindung.",
        "Verwenden Sie zuerst STARTTLS."),
    _R.CLIENT_RATE_EXCEEDED: (
        "Das sendende System hat zu viele Nachrichten oder Anfragen in kurzer Zeit gesendet.",
        "Senden Sie weniger Nachrichten oder Anfragen pro Minute."),
    _R.CLIENT_BUSY: ("Der Server ist ausgelastet.", "Versuchen Sie es später noch einmal."),
    _R.RECIPIENT_NOT_OURS: (
        "Dieser Server nimmt von Ihrem System keine Nachrichten an diesen Empfänger an.",
        "Senden Sie die Nachricht an den Mailserver der Domain des Empfängers."),
    _R.RECIPIENT_ADDRESS_REFUSED: (
        "Dieser Server nimmt Adressen in dieser Schreibweise nicht an.",
        "Verwenden Sie die einfache Adresse des Empfängers, zum Beispiel name@example.com."),
    _R.RECIPIENT_UNKNOWN: ("Der Mailserver des Empfängers kennt diese Adresse nicht.", "Prüfen Sie die Adresse."),
    _R.RECIPIENT_TOO_MANY: (
        "Die Nachricht hat zu viele Empfänger.",
        "Senden Sie die Nachricht an die übrigen Empfänger gesondert."),
    _R.RECIPIENT_OTHER_CUSTOMER: (
        "Die Adresse oder ihr Zertifikat gehört einem anderen Kunden.",
        "Berichtigen Sie die Adresse, oder bitten Sie die Bank, sie für diesen Kunden einzutragen."),
    _R.FROM_MISSING: (
        "Im Kopf der Nachricht fehlt die Zeile From.",
        "Ergänzen Sie die Zeile From. Eine Zeile, die keine Kopfzeile ist, beendet den Kopf."),
    _R.FROM_AMBIGUOUS: (
        "Die Zeile From enthält nicht genau eine E-Mail-Adresse.",
        "Verwenden Sie genau eine Absenderadresse, zum Beispiel name@example.com."),
    _R.FROM_MISMATCH: (
        "Das Zertifikat der Signatur enthält die Absenderadresse nicht.",
        "Signieren Sie mit dem Zertifikat der Absenderadresse."),
    _R.FROM_OUTER_DIFFERS: (
        "Die äußere Zeile From weicht von der geschützten ab.",
        "Verwenden Sie in beiden Zeilen dieselbe Absenderadresse."),
    _R.FROM_NOT_IN_CERTIFICATE: (
        "Das Zertifikat zum Signieren enthält die Absenderadresse nicht.",
        "Verwenden Sie eine Adresse aus dem Zertifikat, oder beantragen Sie ein Zertifikat mit dieser Adresse."),
    _R.FROM_NAME_MISLEADING: (
        "Der Anzeigename des Absenders enthält eine andere E-Mail-Adresse.",
        "Verwenden Sie einen Anzeigenamen ohne Adresse."),
    _R.POLICY_REJECTED: (
        "Die Regeln der Bank lassen diese Nachricht nicht zu.",
        "Wenden Sie sich an den Postmaster der Bank."),
    _R.POLICY_DEFERRED: (
        "Die Regeln der Bank haben diese Nachricht zurückgestellt.",
        "Versuchen Sie es später noch einmal."),
    _R.POLICY_HELD: ("Die Bank hält diese Nachricht an, bis sie freigegeben wird.", "Der Absender muss nichts tun."),
    _R.POLICY_QUARANTINED: (
        "Die Bank hält diese Nachricht zur Prüfung in Quarantäne.",
        "Der Absender muss nichts tun."),
    _R.POLICY_NO_RULE: (
        "Für diese Nachricht gibt es in der Bank keine Regel.",
        "Bitten Sie den Postmaster der Bank um eine Regel."),
    _R.POLICY_FACT_UNAVAILABLE: (
        "Eine Angabe, die für die Entscheidung über diese Nachricht nötig ist, ist zurzeit nicht zu ermitteln.",
        "Versuchen Sie es später noch einmal."),
    _R.POLICY_OTHER_RECIPIENT_REFUSED: (
        "Die Nachricht wurde nicht zugestellt, weil ein anderer Empfänger derselben Nachricht abgelehnt wurde.",
        "Senden Sie die Nachricht ohne diesen Empfänger noch einmal."),
    _R.CERTIFICATE_ABSENT: (
        "Der Bank liegt kein Zertifikat des Empfängers vor.",
        "Bitten Sie den Empfänger um ein Zertifikat."),
    _R.CERTIFICATE_UNUSABLE: (
        "Keines der Zertifikate des Empfängers ist verwendbar.",
        "Bitten Sie den Empfänger um ein neues Zertifikat."),
    _R.CERTIFICATE_CONFLICT: (
        "Zu dieser Adresse gibt es Zertifikate verschiedener Inhaber.",
        "Bitten Sie die Bank, das richtige Zertifikat dem Kunden zuzuordnen."),
    _R.CERTIFICATE_UNAVAILABLE: (
        "Das Zertifikat des Empfängers ist zurzeit nicht abrufbar.",
        "Versuchen Sie es später noch einmal."),
    _R.CERTIFICATE_EXPIRED: ("Das Zertifikat ist abgelaufen.", "Bitten Sie den Inhaber um ein neues Zertifikat."),
    _R.CERTIFICATE_NOT_YET_VALID: (
        "Das Zertifikat ist noch nicht gültig.",
        "Warten Sie, bis das Zertifikat gültig ist."),
    _R.CERTIFICATE_REVOKED: (
        "Der Aussteller hat das Zertifikat gesperrt.",
        "Bitten Sie den Inhaber um ein neues Zertifikat."),
    _R.CERTIFICATE_ON_HOLD: (
        "Der Aussteller hat das Zertifikat vorläufig gesperrt.",
        "Bitten Sie den Inhaber, die Sperre aufheben zu lassen, oder um ein anderes Zertifikat."),
    _R.CERTIFICATE_WEAK_KEY: (
        "Der Schlüssel des Zertifikats ist zu kurz.",
        "Bitten Sie den Inhaber um ein Zertifikat mit einem längeren Schlüssel."),
    _R.CERTIFICATE_WEAK_ALGORITHM: (
        "Die Signatur des Zertifikats verwendet ein unsicheres Verfahren.",
        "Bitten Sie den Inhaber um ein Zertifikat, das mit SHA-256 oder besser signiert ist."),
    _R.CERTIFICATE_ALGORITHM_UNKNOWN: (
        "Das Verfahren des Zertifikats wird nicht unterstützt.",
        "Bitten Sie den Inhaber um ein Zertifikat mit einem Schlüssel für RSA oder elliptische Kurven."),
    _R.CERTIFICATE_WRONG_USAGE: (
        "Das Zertifikat ist für diesen Zweck nicht zugelassen.",
        "Verwenden Sie ein Zertifikat, das für E-Mail ausgestellt ist."),
    _R.CERTIFICATE_ADDRESS_MISMATCH: (
        "Das Zertifikat enthält diese Adresse nicht.",
        "Verwenden Sie ein Zertifikat, das diese Adresse enthält."),
    _R.CERTIFICATE_NOT_ENROLLED: (
        "Das Zertifikat ist keinem Kunden zugeordnet.",
        "Bitten Sie die Bank, das Zertifikat für den Kunden einzutragen."),
    _R.CERTIFICATE_DISTRUSTED: (
        "Die Bank hat das Zertifikat als nicht vertrauenswürdig gekennzeichnet.",
        "Verwenden Sie ein anderes Zertifikat."),
    _R.CERTIFICATE_MALFORMED: (
        "Das Zertifikat verstößt gegen die Regeln seines Formats.",
        "Bitten Sie den Aussteller, das Zertifikat neu auszustellen."),
    _R.CERTIFICATE_DISPLACED: (
        "Ein Zertifikat, das einem Kunden zugeordnet ist, hat Vorrang vor diesem.",
        "Bitten Sie die Bank, dieses Zertifikat dem Kunden zuzuordnen."),
    _R.CERTIFICATE_NOT_DEVICE_BOUND: (
        "Der Schlüssel des Zertifikats ist nicht an ein Gerät gebunden.",
        "Lassen Sie ein Zertifikat eintragen, dessen Schlüssel sein Gerät nicht verlassen kann."),
    _R.ESCROW_UNUSABLE: (
        "Die Nachricht wurde zurückgestellt, weil das Archivzertifikat der Bank nicht verwendbar ist.",
        "Versuchen Sie es später noch einmal, und melden Sie dies dem Postmaster der Bank."),
    _R.PATH_TRUST_ANCHOR_MISSING: (
        "Es sind keine Wurzelzertifikate eingerichtet, daher ist keine Prüfung möglich.",
        "Bitten Sie den Betreiber, Wurzelzertifikate einzurichten."),
    _R.PATH_ISSUER_MISSING: (
        "Auf dem Weg zum Wurzelzertifikat fehlt ein Zwischenzertifikat.",
        "Fügen Sie die Zwischenzertifikate bei."),
    _R.PATH_UNTRUSTED_ROOT: (
        "Das Zertifikat stammt nicht von einem Aussteller, dem die Bank vertraut.",
        "Verwenden Sie ein Zertifikat eines Ausstellers, dem die Bank vertraut."),
    _R.PATH_CONSTRAINT: (
        "Ein Aussteller in der Zertifikatskette durfte dieses Zertifikat nicht ausstellen.",
        "Bitten Sie um ein Zertifikat eines Ausstellers, der es ausstellen darf."),
    _R.PATH_SIGNATURE: (
        "Die Signatur eines Zertifikats in der Zertifikatskette ist ungültig.",
        "Bitten Sie den Aussteller, das Zertifikat neu auszustellen."),
    _R.PATH_EXPIRED: (
        "Ein Zertifikat in der Zertifikatskette ist abgelaufen.",
        "Fügen Sie das aktuelle Zwischenzertifikat bei."),
    _R.PATH_REVOKED: (
        "Ein Aussteller hat ein Zwischenzertifikat in der Zertifikatskette gesperrt.",
        "Bitten Sie den Inhaber um ein Zertifikat eines anderen Ausstellers."),
    _R.PATH_POLICY: (
        "Die Zertifikatskette lässt keine der verlangten Zertifikatsrichtlinien zu.",
        "Bitten Sie um ein Zertifikat, das nach einer verlangten Richtlinie ausgestellt ist."),
    _R.REVOCATION_UNAVAILABLE: (
        "Es ist zurzeit nicht zu ermitteln, ob das Zertifikat gesperrt ist.",
        "Versuchen Sie es später noch einmal."),
    _R.REVOCATION_NOT_CHECKED: (
        "Es wurde nicht geprüft, ob das Zertifikat gesperrt ist.",
        "Prüfen Sie den Sperrstatus, wo es darauf ankommt."),
    _R.REVOCATION_MALFORMED: (
        "Die Sperrliste oder OCSP-Antwort verstößt gegen die Regeln ihres Formats.",
        "Melden Sie den Fehler der Zertifizierungsstelle, und versuchen Sie es später noch einmal."),
    _R.REVOCATION_ALTERED: (
        "Die Signatur der Sperrliste oder OCSP-Antwort ist ungültig.",
        "Rufen Sie sie noch einmal bei der Zertifizierungsstelle ab."),
    _R.REVOCATION_UNTRUSTED: (
        "Der Unterzeichner der Sperrliste oder OCSP-Antwort ist vom Aussteller des Zertifikats nicht berechtigt.",
        "Rufen Sie sie unter der Adresse ab, die das Zertifikat nennt."),
    _R.REVOCATION_STALE: (
        "Die Sperrliste oder OCSP-Antwort ist zu alt.",
        "Versuchen Sie es später mit einer neueren Sperrliste oder OCSP-Antwort."),
    _R.REVOCATION_FUTURE: (
        "Das Datum der Sperrliste oder OCSP-Antwort liegt in der Zukunft.",
        "Vergleichen Sie die Uhr mit der der Zertifizierungsstelle."),
    _R.REVOCATION_WEAK_ALGORITHM: (
        "Die Signatur der Sperrliste oder OCSP-Antwort verwendet ein unsicheres Verfahren.",
        "Bitten Sie die Zertifizierungsstelle, mit SHA-256 oder besser zu signieren."),
    _R.REVOCATION_REFUSED: (
        "Der OCSP-Dienst gibt für dieses Zertifikat keinen Status an.",
        "Fragen Sie die Zertifizierungsstelle. Ihre Sperrliste kann den Status enthalten."),
    _R.FETCH_UNAVAILABLE: ("Die Daten konnten nicht abgerufen werden.", "Versuchen Sie es später noch einmal."),
    _R.FETCH_REFUSED: (
        "Von dieser Adresse dürfen keine Daten abgerufen werden.",
        "Bitten Sie den Betreiber, das Netz oder die Art der Adresse zuzulassen."),
    _R.FETCH_TOO_LARGE: (
        "Die abgerufenen Daten sind zu groß.",
        "Ist diese Größe zu erwarten, bitten Sie den Betreiber, die Grenze zu erhöhen."),
    _R.SIGNATURE_NOT_SIGNED: ("Die Nachricht ist nicht signiert.", "Signieren Sie die Nachricht."),
    _R.SIGNATURE_ALTERED: (
        "Der Inhalt wurde nach dem Signieren geändert.",
        "Senden Sie die Nachricht unverändert noch einmal."),
    _R.SIGNATURE_MALFORMED: (
        "Die Signatur verstößt gegen die Regeln ihres Formats.",
        "Signieren Sie mit einem anderen E-Mail-Programm, oder melden Sie den Fehler dem Hersteller des Programms."),
    _R.SIGNATURE_ATTRIBUTES: (
        "Die signierten Attribute fehlen oder sind falsch.",
        "Signieren Sie mit einem anderen E-Mail-Programm, oder melden Sie den Fehler dem Hersteller des Programms."),
    _R.SIGNATURE_EXPIRED: (
        "Das Zertifikat war beim Signieren abgelaufen.",
        "Signieren Sie mit einem gültigen Zertifikat."),
    _R.SIGNATURE_NOT_YET_VALID: (
        "Das Zertifikat war beim Signieren noch nicht gültig.",
        "Signieren Sie mit einem gültigen Zertifikat, und prüfen Sie die Uhr Ihres Rechners."),
    _R.SIGNATURE_REVOKED: (
        "Der Aussteller hat das Zertifikat der Signatur gesperrt.",
        "Signieren Sie mit einem anderen Zertifikat."),
    _R.SIGNATURE_ON_HOLD: (
        "Der Aussteller hat das Zertifikat der Signatur vorläufig gesperrt.",
        "Lassen Sie die Sperre aufheben, oder signieren Sie mit einem anderen Zertifikat."),
    _R.SIGNATURE_WEAK_ALGORITHM: (
        "Die Signatur verwendet ein unsicheres Verfahren.",
        "Signieren Sie mit SHA-256 oder besser."),
    _R.SIGNATURE_WEAK_KEY: ("Der Schlüssel der Signatur ist zu kurz.", "Signieren Sie mit einem längeren Schlüssel."),
    _R.SIGNATURE_ALGORITHM_UNKNOWN: (
        "Das Verfahren der Signatur wird nicht unterstützt.",
        "Signieren Sie mit RSA oder ECDSA und SHA-256 oder besser."),
    _R.SIGNATURE_WRONG_USAGE: (
        "Das Zertifikat der Signatur ist nicht zum Signieren von E-Mails zugelassen.",
        "Signieren Sie mit einem Zertifikat, das für E-Mail ausgestellt ist."),
    _R.SIGNATURE_CERTIFICATE_MISSING: (
        "Der Signatur ist das Zertifikat des Unterzeichners nicht beigefügt.",
        "Fügen Sie der Signatur das Zertifikat bei."),
    _R.SIGNATURE_CERTIFICATE_MISMATCH: (
        "Die Signatur verweist auf ein anderes Zertifikat als das, mit dem sie geprüft wurde.",
        "Signieren Sie mit einem anderen E-Mail-Programm, oder melden Sie den Fehler dem Hersteller des Programms."),
    _R.SIGNATURE_CONTENT_MISSING: ("Der signierte Inhalt fehlt.", "Stellen Sie den signierten Inhalt bereit."),
    _R.SIGNATURE_PART_ONLY: (
        "Die Signatur umfasst nur einen Teil der Nachricht.",
        "Signieren Sie die ganze Nachricht."),
    _R.SIGNATURE_OUTSIDE_ENCRYPTION: (
        "Die Nachricht wurde erst verschlüsselt und dann signiert.",
        "Signieren Sie zuerst, und verschlüsseln Sie danach."),
    _R.SIGNATURE_OUTER_INVALID: (
        "Eine äußere Signatur der Nachricht ist ungültig.",
        "Senden Sie die Nachricht ohne die äußere Signatur noch einmal."),
    _R.TIMESTAMP_MALFORMED: (
        "Der Zeitstempel verstößt gegen die Regeln seines Formats.",
        "Fordern Sie einen neuen Zeitstempel an."),
    _R.TIMESTAMP_ALTERED: ("Die Signatur des Zeitstempels ist ungültig.", "Fordern Sie einen neuen Zeitstempel an."),
    _R.TIMESTAMP_IMPRINT: (
        "Der Zeitstempel gehört zu anderen Daten.",
        "Stellen Sie den Zeitstempel bereit, der zu diesen Daten gehört."),
    _R.TIMESTAMP_FUTURE: (
        "Das Datum des Zeitstempels liegt in der Zukunft.",
        "Bitten Sie den Betreiber des Zeitstempeldienstes, seine Uhr zu prüfen."),
    _R.TIMESTAMP_UNTRUSTED: (
        "Der Zeitstempel stammt nicht von einem vertrauenswürdigen Dienst.",
        "Verwenden Sie einen Zeitstempeldienst, dem die Bank vertraut."),
    _R.TIMESTAMP_WRONG_USAGE: (
        "Das Zertifikat des Zeitstempels ist nicht für Zeitstempel zugelassen.",
        "Verwenden Sie einen Zeitstempeldienst, dem die Bank vertraut."),
    _R.TIMESTAMP_EXPIRED: (
        "Das Zertifikat des Zeitstempeldienstes war abgelaufen.",
        "Fordern Sie einen neuen Zeitstempel an."),
    _R.TIMESTAMP_WEAK_ALGORITHM: (
        "Der Zeitstempel verwendet ein unsicheres Verfahren.",
        "Fordern Sie einen Zeitstempel mit SHA-256 oder besser an."),
    _R.TIMESTAMP_REFUSED: (
        "Der Zeitstempeldienst hat die Anfrage abgelehnt.",
        "Wenden Sie sich an den Betreiber des Zeitstempeldienstes."),
    _R.TIMESTAMP_SUBJECT_MISSING: (
        "Die Daten, zu denen der Zeitstempel gehört, fehlen.",
        "Stellen Sie diese Daten bereit."),
    _R.DECRYPTION_FAILED: (
        "Die Nachricht konnte nicht entschlüsselt werden.",
        "Verschlüsseln Sie sie noch einmal mit dem aktuellen Zertifikat des Empfängers."),
    _R.DECRYPTION_WEAK_ALGORITHM: (
        "Das sendende Programm hat die Nachricht mit einem zu schwachen Verfahren verschlüsselt.",
        "Stellen Sie das sendende Programm so ein, dass es mit AES verschlüsselt."),
    _R.DECRYPTION_NO_KEY: (
        "Die Nachricht ist nicht für einen Schlüssel der Bank verschlüsselt.",
        "Verschlüsseln Sie sie mit dem aktuellen Zertifikat des Empfängers."),
    _R.DECRYPTION_PART_ONLY: (
        "Nur ein Teil der Nachricht ist verschlüsselt.",
        "Verschlüsseln Sie die ganze Nachricht."),
    _R.DECRYPTION_NOT_AUTHENTICATED: (
        "Der verschlüsselte Inhalt ist nicht gegen Änderungen geschützt.",
        "Signieren Sie die Nachricht, bevor Sie sie verschlüsseln."),
    _R.HEADERS_DIFFER: (
        "Der äußere Kopf der Nachricht weicht vom geschützten ab.",
        "Vertrauen Sie nur dem geschützten Kopf."),
    _R.KEY_UNAVAILABLE: (
        "Ein Schlüssel der Bank ist zurzeit nicht verwendbar.",
        "Versuchen Sie es später noch einmal."),
    _R.KEY_WRONG_PURPOSE: (
        "Der Schlüssel der Bank ist für diesen Zweck nicht zugelassen.",
        "Wenden Sie sich an den Postmaster der Bank."),
    _R.KEY_NOT_PERMITTED: (
        "Dieser Absender darf den Signaturschlüssel der Bank nicht verwenden.",
        "Verwenden Sie eine Absenderadresse und ein System, die für diesen Schlüssel eingetragen sind."),
    _R.STAMPER_UNAVAILABLE: ("Zurzeit ist kein Zeitstempel zu erhalten.", "Versuchen Sie es später noch einmal."),
    _R.STAMPER_CLOCK: (
        "Die Uhr des Gateways ist für Zeitstempel nicht genau genug.",
        "Versuchen Sie es später noch einmal."),
    _R.CLOCK_WRONG: ("Die Uhr des Gateways geht falsch.", "Versuchen Sie es später noch einmal."),
    _R.STORE_UNAVAILABLE: ("Die Datenbank des Gateways ist nicht verwendbar.", "Versuchen Sie es später noch einmal."),
    _R.STORE_MISSING: ("Die Datenbank des Gateways ist nicht auffindbar.", "Versuchen Sie es später noch einmal."),
    _R.STORE_VERSION: (
        "Die Version der Datenbank passt nicht zur Version des Gateways.",
        "Versuchen Sie es später noch einmal."),
    _R.STORE_MISMATCH: (
        "Das Gateway hat eine andere Datenbank als die eigene gefunden.",
        "Versuchen Sie es später noch einmal."),
    _R.JOURNAL_IN_PROGRESS: (
        "Dieselbe Nachricht wird bereits verarbeitet.",
        "Warten Sie, und senden Sie sie dann noch einmal."),
    _R.HOLD_FULL: (
        "Zurzeit können keine weiteren Nachrichten angehalten werden.",
        "Versuchen Sie es später noch einmal."),
    _R.HOLD_SETTLED: (
        "Die Nachricht wird nicht mehr angehalten: Sie wurde freigegeben oder abgelehnt.",
        "Lesen Sie die Liste der angehaltenen Nachrichten neu."),
    _R.PARTNER_UNKNOWN: (
        "Der Dienst konnte das anfragende System nicht erkennen.",
        "Verwenden Sie das vereinbarte Token oder Zertifikat."),
    _R.PARTNER_NOT_PERMITTED: (
        "Das anfragende System darf diesen Dienst nicht verwenden.",
        "Bitten Sie die Bank, es zuzulassen."),
    _R.REQUEST_UNKNOWN: ("Der Dienst kennt diese Kennung nicht.", "Prüfen Sie die Kennung."),
    _R.REQUEST_KEY_MISSING: (
        "In der Anfrage fehlt das Feld Idempotency-Key.",
        "Senden Sie einen zufälligen Idempotency-Key, und denselben bei jeder Wiederholung der Anfrage."),
    _R.REQUEST_KEY_CONFLICT: (
        "Eine andere Anfrage hat denselben Idempotency-Key verwendet.",
        "Verwenden Sie für eine neue Anfrage einen neuen Schlüssel."),
    _R.REQUEST_IN_PROGRESS: (
        "Der Dienst verarbeitet dieselbe Anfrage bereits.",
        "Wiederholen Sie sie später mit demselben Schlüssel."),
    _R.REQUEST_PATH_GONE: (
        "Dieser Pfad ist abgelaufen: Pfade des Dienstes beginnen mit der Version der Schnittstelle.",
        "Senden Sie die Anfrage an den Pfad der heutigen Version."),
    _R.REQUEST_OUTDATED: (
        "Die Ressource wurde geändert, nachdem sie gelesen wurde.",
        "Lesen Sie sie neu, und senden Sie den neuen Wert ihres Feldes ETag."),
    _R.REQUEST_UNCONDITIONAL: (
        "Die Anfrage ändert eine Ressource und hat kein Feld If-Match.",
        "Lesen Sie zuerst die Ressource, und senden Sie den Wert ihres Feldes ETag als If-Match."),
    _R.REQUEST_NEEDS_APPROVAL: (
        "Es wurde nichts geändert: Diese Handlung braucht die Zustimmung einer zweiten Person.",
        "Bitten Sie die Administratoren der Bank, sie auszuführen."),
    _R.CUSTOMER_UNKNOWN: (
        "Das Verzeichnis der Bank enthält diesen Kunden nicht.",
        "Prüfen Sie die Kundennummer, oder lassen Sie den Kunden eintragen."),
    _R.CUSTOMER_BLOCKED: (
        "Der Kunde ist gesperrt.",
        "Bitten Sie die Bank, mit dem Kunden zu sprechen und die Sperre aufzuheben."),
    _R.CUSTOMER_LOCKED: (
        "Der Kunde ist nach zu vielen falschen Codes in Folge gesperrt.",
        "Warten Sie, bis die Sperre endet, oder bitten Sie die Bank, sie aufzuheben."),
    _R.CUSTOMER_NO_ADDRESS: (
        "Das Verzeichnis der Bank enthält keine E-Mail-Adresse des Kunden.",
        "Lassen Sie eine E-Mail-Adresse des Kunden eintragen."),
    _R.FALLBACK_INVITED: (
        "Die Nachricht wartet auf ein Zertifikat des Empfängers. Die Bank hat den Empfänger darum gebeten.",
        "Der Absender muss nichts tun."),
    _R.FALLBACK_OFTEN: (
        "Die Bank hat den Empfänger erst vor Kurzem um ein Zertifikat gebeten.",
        "Der Absender muss nichts tun."),
    _R.HOLD_EXPIRED: (
        "Es lag nicht rechtzeitig ein Zertifikat des Empfängers vor.",
        "Wenden Sie sich auf einem anderen Weg an den Empfänger."),
    _R.PASSWORD_NOT_HANDED_OVER: (
        "Das Passwort des Dokuments konnte nicht übergeben werden.",
        "Versuchen Sie es später noch einmal."),
    _R.CODE_UNKNOWN: ("Der Dienst kennt diesen Code nicht.", "Fordern Sie einen neuen Code an."),
    _R.CODE_WRONG: (
        "Der Code ist falsch.",
        "Geben Sie den Code noch einmal genau so ein, wie ihn die Nachricht zeigt."),
    _R.CODE_CHANGED: (
        "Der Vorgang weicht von dem ab, für den der Code ausgestellt wurde.",
        "Fordern Sie einen Code für diesen Vorgang an."),
    _R.CODE_EXPIRED: ("Der Code ist abgelaufen.", "Fordern Sie einen neuen Code an."),
    _R.CODE_USED: ("Der Code wurde bereits verwendet.", "Fordern Sie einen neuen Code an."),
    _R.CODE_CANCELLED: ("Der Code wurde zurückgezogen.", "Fordern Sie einen neuen Code an."),
    _R.CODE_REPLACED: ("Ein neuerer Code hat diesen Code ersetzt.", "Verwenden Sie den neuesten Code."),
    _R.CODE_TRIES: ("Der Code ist nach zu vielen falschen Eingaben ungültig.", "Fordern Sie einen neuen Code an."),
    _R.CODE_OFTEN: (
        "Es wurden zu viele Codes in kurzer Zeit angefordert.",
        "Warten Sie, bevor Sie einen weiteren Code anfordern."),
    _R.RUN_UNKNOWN: ("Der Dienst kennt diesen Lauf nicht.", "Prüfen Sie den Namen des Laufs."),
    _R.RUN_CHANGED: (
        "Die Datei oder die Daten des Laufs wurden nach seinem Beginn geändert.",
        "Stellen Sie die früheren Dateien wieder her, oder beginnen Sie einen Lauf mit einem anderen Namen."),
    _R.RUN_STATE: ("Der Zustand des Laufs lässt diesen Vorgang nicht zu.", "Prüfen Sie den Zustand des Laufs."),
    _R.RUN_THRESHOLD: (
        "Der Lauf hat nicht begonnen, weil zu viele seiner Nachrichten nicht gesendet werden können.",
        "Berichtigen Sie, was die Vorprüfung meldet, oder bitten Sie die Bank, die Grenze zu erhöhen."),
    _R.STATEMENT_ROW: ("Eine Zeile der Daten ist nicht verwendbar.", "Berichtigen Sie die Zeile."),
    _R.STATEMENT_REPEATED: (
        "Der Lauf enthält denselben Auszug mehr als einmal.",
        "Entfernen Sie die wiederholte Zeile."),
    _R.STATEMENT_AMBIGUOUS: (
        "Die Daten enthalten zwei verschiedene Dokumente für einen Auszug.",
        "Entfernen Sie die falsche Zeile. Ein berichtigter Auszug braucht eine eigene Version."),
    _R.STATEMENT_SENT_BEFORE: (
        "Ein früherer Lauf hat denselben Auszug gesendet.",
        "Sie müssen nichts tun. Eine neue Version ersetzt den Auszug."),
    _R.STATEMENT_NOT_SENT: (
        "Kein früherer Lauf hat diesen Auszug gesendet.",
        "Prüfen Sie Kunde, Konto, Zeitraum und Version."),
    _R.STATEMENT_BOUNCED: ("Der Mailserver des Empfängers hat den Auszug zurückgesendet.", "Prüfen Sie die Adresse."),
    _R.BOUNCE_UNMATCHED: ("Die Rücksendung gehört zu keiner Nachricht der Bank.", "Der Absender muss nichts tun."),
    _R.SERVICE_REFUSED: (
        "Der Dienst, an den die Nachricht gerichtet ist, hat sie abgelehnt.",
        "Wenden Sie sich auf einem anderen Weg an die Bank."),
    _R.PDF_MISSING: ("Das Dokument fehlt.", "Stellen Sie das Dokument an dem Ort bereit, den die Daten nennen."),
    _R.PDF_UNREADABLE: ("Das Dokument ist beschädigt oder keine PDF-Datei.", "Erzeugen Sie das Dokument noch einmal."),
    _R.PDF_LOCKED: (
        "Das Dokument ist durch ein Passwort geschützt.",
        "Stellen Sie es ohne Passwort bereit. Die ganze Nachricht wird verschlüsselt."),
    _R.PDF_INACCESSIBLE: (
        "Das Dokument ist nicht barrierefrei: Tags, Sprache oder Titel fehlen.",
        "Erzeugen Sie eine barrierefreie PDF-Datei (ISO 14289)."),
    _R.PDF_TOO_LARGE: ("Das Dokument ist zu groß.", "Stellen Sie ein kleineres Dokument bereit."),
    _R.PDF_NOT_MADE: ("Das Dokument konnte nicht erzeugt werden.", "Prüfen Sie die Vorlage und ihre Daten."),
    _R.NEXT_HOP_UNAVAILABLE: ("Der nächste Mailserver ist nicht erreichbar.", "Versuchen Sie es später noch einmal."),
    _R.NEXT_HOP_LATER: (
        "Der nächste Mailserver hat die Nachricht zurückgestellt.",
        "Versuchen Sie es später noch einmal."),
    _R.NEXT_HOP_REFUSED: (
        "Der nächste Mailserver hat die Nachricht abgelehnt.",
        "Prüfen Sie die Adresse und den Inhalt der Nachricht."),
    _R.NEXT_HOP_TLS: (
        "Zum nächsten Mailserver kam keine verschlüsselte Verbindung zustande.",
        "Versuchen Sie es später noch einmal."),
    _R.NEXT_HOP_EIGHT_BIT: (
        "Der nächste Mailserver nimmt keine 8-Bit-Nachrichten an.",
        "Senden Sie die Nachricht in einer 7-Bit-Kodierung."),
    _R.NEXT_HOP_SMTPUTF8: (
        "Der nächste Mailserver nimmt keine internationalisierten Adressen an.",
        "Verwenden Sie Adressen aus ASCII-Zeichen."),
    _R.CONFIG_INVALID: (
        "Die Konfiguration enthält einen Fehler.",
        "Versuchen Sie es später noch einmal, und melden Sie dies dem Postmaster der Bank."),
    _R.CONFIG_UNREADABLE: (
        "Die Konfiguration ist nicht lesbar.",
        "Versuchen Sie es später noch einmal, und melden Sie dies dem Postmaster der Bank."),
    _R.USAGE: ("Der Befehl oder die Anfrage ist ungültig.", "Prüfen Sie die Form der Anfrage."),
    _R.INTERNAL: (
        "Im Gateway ist ein unerwarteter Fehler aufgetreten.",
        "Versuchen Sie es später noch einmal, und melden Sie den Vorgang dem Postmaster der Bank."),
})
