    b"Sealgate-Verdict: trusted\r\nFrom: anna@customer.example\r\nTo: support@bank.example\r\n"
    b"Subject: [customer] Hi\r\n"
    b"Message-ID: <question@customer.example>\r\n\r\nHello\r\n"
)


def watching(settings: Settings) -> Settings:
