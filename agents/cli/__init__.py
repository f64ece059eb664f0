"""The command ``campaignwatch``: one file per subcommand."""
