#!/usr/bin/env bash
# curl, and the rules of WHATWG HTML §9.2.6 by hand: what a blank line has not ended does not count.
last=
while :; do
  event= data= id=$last
  while IFS= read -r line; do
    case $line in
      'event: '*) event=${line#event: } ;;
      'data: '*) data=${line#data: } ;;
      'id: '*) id=${line#id: } ;;
      '')
        last=$id
        if [[ $event == delta ]]; then
          rest=${data#*\"id\":\"}
          printf 'E %s %s\n' "$id" "${rest%%\"*}"
        elif [[ -z $data ]]; then
          echo EMPTY
        elif [[ $event != busy ]]; then
          echo "X $event $data"
        fi
        event= data=
        ;;
    esac
  done < <(exec curl -sN ${last:+-H "Last-Event-ID: $last"} "$1" 2>/dev/null)
  sleep 0.1
done
