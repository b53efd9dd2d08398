# SPDX-License-Identifier: Apache-2.0
# Checks that `hacking` runs: each yields where a line is wrong and how.

from collections.abc import Iterable, Iterator
from tokenize import TokenInfo

def check_quotes(logical_line: str, filename: str, noqa: bool = False) -> Iterator[tuple[int, str]]: ...
def check_no_constructor_data_struct(
    logical_line: str, filename: str, noqa: bool = False
) -> Iterator[tuple[int, str]]: ...
def check_dict_formatting_in_string(
    logical_line: str, tokens: Iterable[TokenInfo], noqa: bool = False
) -> Iterator[tuple[int, str]]: ...
def check_raises(physical_line: str, filename: str) -> tuple[int, str] | None: ...
