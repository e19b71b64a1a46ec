"""What the walk-throughs say, in Japanese for those who set LANG=ja_JP, in English for others.

The English text stands in the code, as in programs of gettext, and is the key here: a text that
lacks its Japanese is shown in English. A catalogue of gettext's would have to be compiled. Errors
keep their English sentences, which are Azure's or what one searches for; so do the runs in MLflow,
which others read too.
"""

import os
import sys
import unicodedata
from collections.abc import Mapping
from functools import cache

JAPANESE = {
    # The series, and what is done with them.
    "20 months, all 1 but the last": "20 か月分（最後の月だけ 0、ほかはすべて 1）",
    "Sea surface temperature off Peru, °C": "ペルー沖の海面水温（°C）",
    "{count:,} stores of {days} days, made here": "ここで生成した {count:,} 店舗の {days} 日分",
    "Tracking server: {uri}": "トラッキングサーバー: {uri}",
    "Run {run} in experiment '{experiment}': {params}": (
        "実験 '{experiment}' のラン {run}: {params}"
    ),
    "Run {run} in experiment '{experiment}'": "実験 '{experiment}' のラン {run}",
    "Logged model: {uri}": "記録したモデル: {uri}",
    "Registered: {name}, version {version}, alias '{alias}'": (
        "登録したモデル: {name}、バージョン {version}、エイリアス '{alias}'"
    ),
    "Loaded back from the registry: {uri}": "レジストリから読み込んだモデル: {uri}",
    "Training on {rows} rows of {variables}": "{rows} 行で学習します。変数: {variables}",
    "{epochs} epochs in {seconds:.1f} s; kept: epoch {best}, validation loss {loss:.3f}": (
        "{epochs} エポックを {seconds:.1f} 秒で学習。採用: エポック {best}、検証損失 {loss:.3f}"
    ),
    "Spark: {master}, {count} processors": "Spark: {master}、プロセッサー {count} 個",
    "Series: {what}": "系列: {what}",
    "Detecting": "検出中",
    "Looking for the worst": "異常の大きい系列を検索中",
    "Drawing": "グラフを作成中",
    # The tables of what was found.
    "timestamp": "日時",
    "value": "値",
    "expected": "期待値",
    "lower": "下限",
    "upper": "上限",
    "period": "周期",
    "severity": "重大度",
    "contributors": "寄与した変数",
    "points": "点数",
    "anomalies": "異常",
    "anomaly, low": "異常（低い）",
    "anomaly, high": "異常（高い）",
    # What was found, in a sentence.
    "None of {points} points is an anomaly.": "{points} 点の中に異常はありません。",
    "1 of {points} points is an anomaly: {date}.": "{points} 点のうち 1 点が異常です: {date}。",
    "{anomalies} of {points} points are anomalies; the longest stretch is {longest} points, "
    "from {start} to {end}.": (
        "{points} 点のうち {anomalies} 点が異常です。最も長く続いた区間は {start} から {end} まで"
        "の {longest} 点です。"
    ),
    "None of {rows} rows is an anomaly.": "{rows} 行の中に異常はありません。",
    "{anomalies} of {rows} rows are anomalies; the severest is {date}, where {variable} "
    "contributes most.": (
        "{rows} 行のうち {anomalies} 行が異常です。最も重大なのは {date} で、{variable} の寄与が"
        "最大です。"
    ),
    "{series:,} series of {points:,} points in {seconds:.1f} s: {rate:,.0f} series a second.": (
        "{series:,} 系列、合計 {points:,} 点を {seconds:.1f} 秒で処理（毎秒 {rate:,.0f} 系列）。"
    ),
    "{anomalies:,} anomalies; {errors:,} series have an error.": (
        "異常は {anomalies:,} 点。エラーになった系列は {errors:,} 件。"
    ),
    "The worst:": "異常の大きい系列:",
    "none has an anomaly": "異常のある系列はありません",
    # Where it is now.
    "Table, picture and model of this run: {address}": "このランの表、グラフ、モデル: {address}",
    "Table and pictures of this run: {address}": "このランの表とグラフ: {address}",
    "Over HTTP this is the model {model}.": "HTTP ではモデル {model} として使えます。",
    "The answers, as Parquet: {place}": "検出結果（Parquet）: {place}",
    "served by:": "起動するコマンド:",
    # What went wrong; the error itself follows.
    "The detection failed. {error}": "検出できませんでした。{error}",
    "Spark could not finish: {error}": "Spark の処理が終わりませんでした: {error}",
    "The last point is 0 among ones and was not flagged.": (
        "最後の点だけが 0 なのに、異常として検出されませんでした。"
    ),
    "The {variable} was {what}, and was not flagged.": (
        "{variable} の{what}が、異常として検出されませんでした。"
    ),
    "20 minutes late": "20 分の遅れ",
    "turned round": "反転",
}


def _(english: str) -> str:
    """Return a text as it is shown, before its fields are filled."""
    return _catalogue().get(english, english)


@cache
def _catalogue() -> Mapping[str, str]:
    wanted = language(os.environ) == "ja"
    return JAPANESE if wanted and can_show(sys.stdout.encoding) else {}


def language(environment: Mapping[str, str]) -> str:
    """Return "ja" or "en": the first that is asked for, in the order that Python's gettext has."""
    names = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((environment[name] for name in names if environment.get(name)), "")
    for locale in asked.split(":"):
        name = locale.partition("@")[0].partition(".")[0].partition("_")[0]
        if name in ("ja", "en", "C", "POSIX"):
            return "ja" if name == "ja" else "en"
    return "en"


def can_show(encoding: str) -> bool:
    """Say whether an encoding of the output has all that the Japanese texts need."""
    try:
        "".join(JAPANESE.values()).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: a wide character takes two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def ljust(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def rjust(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text
