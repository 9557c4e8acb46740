from dseg.pretrain.run.log_file import RunLog


def test_lines_of_a_future_that_was_cut_off_are_forgotten(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    assert log.lines() == []
    log.forget_after(3)
    for step in range(5):
        log.add({"step": step, "loss": step / 2})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 5, "lo')
    log.forget_after(3)
    log.add({"step": 4, "loss": 9.0})
    assert [(line["step"], line["loss"]) for line in log.lines()] == [
        (0, 0.0),
        (1, 0.5),
        (2, 1.0),
        (3, 1.5),
        (4, 9.0),
    ]
