"""The demo: fictional patients, one for each situation that the rules decide, over real HTTP."""
