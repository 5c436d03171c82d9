"""What several test files share: the shipped models and tokenizer, and documents of the world."""

import os
from itertools import islice

import course
import pytest
from transformers import AutoTokenizer

from helpers import pretrain
from helpers.errors import CourseError
from helpers.lm import models
from helpers.world import corpus


class OwnNotebooks:
    """Leaves alone what a reader put into the folder of the notebooks, and notebooks that a reader has worked in."""

    def pytest_ignore_collect(self, collection_path, config):
        named = [config.invocation_params.dir / word.partition("::")[0] for word in config.args]
        if collection_path.suffix != ".ipynb" or collection_path in named or course.is_own(collection_path):
            return None
        return True


def pytest_configure(config):
    os.environ["COURSE_SOLUTIONS"] = "1"  # notebooks check their exercises' solutions while they are run
    config.pluginmanager.register(OwnNotebooks())


def pytest_collection_modifyitems(items):
    """Rejoining comes last: then it finds the models that the notebooks have trained."""
    items.sort(key=lambda item: "test_rejoin.py" in item.nodeid)


@pytest.fixture(scope="session")
def documents():
    return list(islice(corpus.documents(1), 20_000))


@pytest.fixture(scope="session")
def small():
    return models.load("small")


@pytest.fixture(scope="session")
def medium():
    return models.load("medium")


@pytest.fixture(scope="session")
def large():
    return models.load("large")


@pytest.fixture(scope="session")
def tokenizer():
    return AutoTokenizer.from_pretrained(models.PRETRAINED / "small")


@pytest.fixture(scope="session")
def world_tokenizer():
    """The tokenizer of the recipe, trained anew."""
    return pretrain.world_tokenizer()


@pytest.fixture
def course_error():
    """``with course_error("text", ...):`` the block raises a CourseError of one line that holds every text."""

    class Expected:
        def __init__(self, *parts):
            self.parts = [str(part) for part in parts]
            self.raises = pytest.raises(CourseError)

        def __enter__(self):
            self.info = self.raises.__enter__()

        def __exit__(self, *trace):
            caught = self.raises.__exit__(*trace)
            message = str(self.info.value)
            assert "\n" not in message
            assert all(part in message for part in self.parts), message
            return caught

    return Expected
