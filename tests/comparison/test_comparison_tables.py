from compared_runs import NAN, table_of

from rnnexp.report import differing


def test_the_parameters_that_differ_are_told_from_metrics_and_records():
    table = table_of(
        [1.0, 2.0], hidden_size=[4, 4], cell=["rnn", "lstm"], run_name=["a", "b"], skip_finished=["x", "y"]
    )
    table = table.assign(
        sweep=["s", None], seed=[0, 1], bptt_length=[5, None], solved_at_step=[1.0, 2.0], tie=[None, NAN]
    )
    assert differing(table) == ["cell", "seed", "bptt_length"]
    assert differing(table.iloc[:1]) == []
