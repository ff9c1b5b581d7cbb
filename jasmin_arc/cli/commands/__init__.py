"""The commands, in a module for each kind. A module is loaded only when one of its commands is used."""
