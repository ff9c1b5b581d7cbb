"""Job descriptions as text: ADL, xRSL and JSDL."""
