"""One run as one page: a file of HTML that needs no network, no server and no program but a browser."""
