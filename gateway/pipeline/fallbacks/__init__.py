"""Mail to recipients without a certificate: one file for each fallback of `model.fallbacks` that does anything.

hold            mail in the hold store: sent when there is a certificate, reported, or returned at last
invite          a neutral mail to those for whom mail is held
encrypted_pdf   a PDF in the place of the mail
"""
