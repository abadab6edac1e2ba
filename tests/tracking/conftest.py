import pytest

from rnnexp.tracking import store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A tracking database with an experiment: migrating one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    store.open_store(f"sqlite:///{path}", "rnnexp")
    return path
