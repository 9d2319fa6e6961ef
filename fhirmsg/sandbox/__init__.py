"""An embedded FHIR R4 store, for `fhirmsg demo` and for fast tests.

    with serve_in_thread(Store()) as serving:
        requests.get(f"{serving.base_url}/metadata")

It behaves like HAPI where the adapter can tell. On purpose it differs in this:

- a search is always fresh, where HAPI reuses one for 60 s without `Cache-Control: no-cache`;
- it keeps what it is given, faulty codes and dates and unknown elements too, but for an unknown
  `status` of a Communication, Consent or Task; HAPI refuses or drops them;
- modifiers it does not know are refused, chains, `_include`, `_has` and PATCH as well;
- a body that is not declared as JSON is 415, on HAPI 400; XML is not spoken;
- the total of a search that has several pages comes with the last, unless it is asked for.

`tests/sandbox/test_contract.py` holds both servers to this. The store has no access control: it
is no place for real patients.
"""

from .http import create_store_app
from .serving import Serving, serve_in_thread
from .store import Store

__all__ = ["Serving", "Store", "create_store_app", "serve_in_thread"]
